"""Where a recipe's gradient comes from, on real data: which samples pull on the scores, and how much in all."""

from dataclasses import replace

import torch

from hardmine.figures.binning import IOU_BINS, by_iou, share_of_bins
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.recipes import Recipe
from hardmine.training.evidence import Pulls, TrainedRun

__all__ = ["draw_gradients"]

SCORE_EDGES = torch.linspace(0, 1, 21).tolist()
SHARE = "share of Σ |∂L/∂z|"


def draw_gradients(recipe: Recipe, trained: TrainedRun) -> Figure:
    """Shares of positives and negatives, of the IoU of negatives, and of scores, beside the detector's own default."""
    panels = [
        Panel("Whose gradient", "samples", SHARE, [], ticks=("positives", "negatives")),
        Panel("Of negatives, by their IoU", "largest IoU with an object", SHARE, [], ticks=IOU_BINS),
        Panel("Of all, by their score", "largest class score", SHARE, []),
    ]
    own, mine = _shares("detector's own", trained.pulls(Recipe("own"))), _shares(recipe.name, trained.pulls(recipe))
    mine = [replace(series, is_own=True) for series in mine]
    panels = [replace(panel, series=pair) for panel, *pair in zip(panels, own, mine, strict=True)]
    return Figure(recipe.title, panels, f"Real samples: {trained.source}. L: all losses; z: logits.")


def _shares(name: str, pulls: Pulls) -> tuple[Series, Series, Series]:
    """One series a panel."""
    of_negatives = torch.where(pulls.is_positive, 0, pulls.size)
    return (
        Series(name, (0, 1), share_of_bins(~pulls.is_positive, pulls.size, (0.5,)), "bars"),
        by_iou(name, pulls.iou, of_negatives),
        Series(name, SCORE_EDGES, share_of_bins(pulls.score, pulls.size, SCORE_EDGES[1:-1]), "steps"),
    )
