"""How good, how sure, and fooled by what: COCO AP, intervals of its differences, errors on planted look-alikes."""

from hardmine.evaluation.bootstrap import resamples
from hardmine.evaluation.coco import Metrics, evaluate_found, evaluate_predictions, read_predictions
from hardmine.evaluation.differences import NO_VERDICT, Difference, differences, paired_differences
from hardmine.evaluation.look_alikes import LookAlikeErrors, look_alike_errors, mean_look_alike_errors
from hardmine.evaluation.matching import ClassMatches, Matches, match_predictions

__all__ = [
    "NO_VERDICT",
    "ClassMatches",
    "Difference",
    "LookAlikeErrors",
    "Matches",
    "Metrics",
    "differences",
    "evaluate_found",
    "evaluate_predictions",
    "look_alike_errors",
    "match_predictions",
    "mean_look_alike_errors",
    "paired_differences",
    "read_predictions",
    "resamples",
]
