"""Figures of what a method does, drawn by running its own code, and of how runs went.

`figure` holds numbers, `painting` and `saving` put them on paper. `scores`, `ranking`, `prime` and `libra` evaluate a
recipe's parts on samples made by hand; `training.evidence` looks through a finished run at real ones, for `ghm` and
`gradients`. `drawing` says which recipe has which figure. `curves` shows how runs went.
"""

from hardmine.figures.curves import curves
from hardmine.figures.drawing import draw, plot
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.saving import save
from hardmine.training.evidence import TrainedRun, open_run

__all__ = ["Figure", "Panel", "Series", "TrainedRun", "curves", "draw", "open_run", "plot", "save"]
