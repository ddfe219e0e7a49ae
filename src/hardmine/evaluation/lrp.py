"""How good is a detector at its best score threshold? The optimal localisation recall precision error.

Oksuz, Cam, Kalkan, Akbas, One Metric to Measure them All: Localisation Recall Precision (LRP) for Evaluating Visual
Detection Tasks, TPAMI 2021, arXiv:2011.10772. Of the predictions of a class that score s or more, those matched at IoU
tau = .5 are true (TP), the others false (FP), and the objects without one are missed (FN):

    LRP(s) = (sum over TP of (1 - IoU) / (1 - tau) + FP + FN) / (TP + FP + FN),      oLRP = min over s of LRP(s)

0 is perfect, 1 finds nothing; unlike AP it tells a tight box from a loose one at one threshold. oLRP of a detector is
the mean over the classes with objects.

The matching goes by falling score, so the predictions over a threshold are matched as they are among all. False ones
only raise LRP: its minimum is at the score of a true one, or at predicting nothing, which is 1. Predictions of equal
score are over a threshold together. The authors' code looks at thresholds .00, .01, ... only; here it is every score.
"""

import numpy as np

from hardmine.evaluation.matching import IOU_THRESHOLDS, ClassMatches, Matches, blocks_of_draws, mean_over_classes

__all__ = ["optimal_lrp", "optimal_lrp_of_class"]


def optimal_lrp(matches: Matches, counts: np.ndarray) -> np.ndarray:
    """oLRP (R,) in [0, 1], lower is better, from counts (I, R) int32; NaN where no object is drawn.

    The first threshold of `matches` is .5.
    """
    return mean_over_classes(np.stack([optimal_lrp_of_class(of_class, counts) for of_class in matches.classes]))


def optimal_lrp_of_class(of_class: ClassMatches, counts: np.ndarray) -> np.ndarray:
    """The same of one class."""
    true = np.flatnonzero(of_class.is_true[0])
    place = np.unique(np.searchsorted(-of_class.scores, -of_class.scores[true], side="right") - 1)
    return np.concatenate([_optimal(of_class, true, place, block) for block in blocks_of_draws(counts, len(place))])


def _optimal(of_class: ClassMatches, true: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    num_objects = of_class.num_drawn(counts)
    num_true = of_class.sums_up_to(place, true, counts)  # (P, R)
    num_false = of_class.sums_up_to(place, np.flatnonzero(~of_class.is_ignored[0]), counts) - num_true
    looseness = (1 - of_class.iou[0, true]) / (1 - IOU_THRESHOLDS[0])
    errors = of_class.sums_up_to(place, true, counts, looseness) + num_false + num_objects - num_true
    lrp = errors / np.maximum(num_false + num_objects, 1)
    return np.where(num_objects > 0, lrp.min(axis=0, initial=1.0), np.nan)
