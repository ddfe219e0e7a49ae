"""The names of columns, and that whoever needs no more than those need not wait for torch."""

import subprocess
import sys

WITHOUT_TORCH = """
import sys
import hardmine.cli.tables
import hardmine.tables.columns
from hardmine.data import open_dataset
from hardmine.mining import LabelFiles, label_files, labels_of, mine, mine_shards, write_mined
from hardmine.predictions import read_found
sys.exit("torch" in sys.modules)
"""


def test_what_mines_predictions_of_others_does_not_import_torch():
    """It would be most of the time and memory that a small data set takes."""
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True)
