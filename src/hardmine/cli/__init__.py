"""The command line: `hardmine compare`, `train`, `evaluate`, `predict`, `plot`, `mine`, `loop`, `recipes`, `explain`,
`check`, `export`.

A thin layer: it turns text into typed arguments (`recipe_arguments`, `training_options`), calls the library, and
makes tables (`tables`) that fit the terminal (`layout`). What a user can put right is one red line on stderr and exit
code 2, whoever noticed it; a run stopped by Ctrl-C ends with 130.
"""

from hardmine.cli.app import main

__all__ = ["main"]
