"""Runs, comparisons, mined folders and diagnoses as one HTML page, and a folder of small pictures beside it.

`inputs` says what a folder is; `compared`, `curves`, `precision_recall`, `diagnosed` and `examples` read the numbers,
`pictures` cuts out what is looked at, `drawing` makes charts and `page` puts all of it together. Nothing here trains or
measures: but for precision-recall curves, the numbers are those that lie in the folders.
"""

from hardmine.report.page import write_report

__all__ = ["write_report"]
