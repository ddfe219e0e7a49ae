"""How good, how sure, and fooled by what: COCO AP, intervals of its differences, errors on planted look-alikes."""

from hardmine.evaluation.bootstrap import resamples
from hardmine.evaluation.coco import Metrics, evaluate_found, evaluate_predictions, read_predictions
from hardmine.evaluation.intervals import NO_VERDICT, Difference, differences, paired_differences
from hardmine.evaluation.look_alikes import LookAlikeErrors, look_alike_errors, mean_look_alike_errors
from hardmine.evaluation.matching import ClassMatches, Matches, match_predictions
from hardmine.evaluation.measures import LOWER_IS_BETTER, MEASURES, Judged, ap_of_class, judge
from hardmine.evaluation.segmentation import (
    MASK_MEASURES,
    JudgedMasks,
    MaskJudge,
    MaskMetrics,
    join_judged,
    judge_masks,
    mask_differences,
)
from hardmine.evaluation.several_data_sets import AcrossDataSets, Estimate, across_data_sets

__all__ = [
    "LOWER_IS_BETTER",
    "MASK_MEASURES",
    "MEASURES",
    "NO_VERDICT",
    "AcrossDataSets",
    "ClassMatches",
    "Difference",
    "Estimate",
    "Judged",
    "JudgedMasks",
    "LookAlikeErrors",
    "MaskJudge",
    "MaskMetrics",
    "Matches",
    "Metrics",
    "across_data_sets",
    "ap_of_class",
    "differences",
    "evaluate_found",
    "evaluate_predictions",
    "join_judged",
    "judge",
    "judge_masks",
    "look_alike_errors",
    "mask_differences",
    "match_predictions",
    "mean_look_alike_errors",
    "paired_differences",
    "read_predictions",
    "resamples",
]
