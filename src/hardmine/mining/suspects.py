"""Hard, or mislabelled? How much speaks for each label being at fault, given predictions of images not learnt from.

A prediction speaks for the object that it overlaps most, of whatever class, from IoU .1 on; of the surest that speak
for an object, one of its own class says s with IoU q, one of another class s' with IoU q' (0 where none does).

    missing         s · (1 - IoU with any label) · (1 - IoU with a surer prediction of this kind)
    wrong class     s' · q' · (1 - s)
    badly located   s · (1 - q)
    spurious        (1 - s) · (1 - s')

All are in [0, 1] and as good as the scores are probabilities. A model that learnt from the same labels would repeat
their faults, and a hard object that no model finds looks spurious: `calibrate` tells these apart.
"""

from dataclasses import dataclass

import numpy as np

from hardmine.mining.matching import Matching
from hardmine.mining.naming import check_scores
from hardmine.mining.pairs import Detections, Mask, Numbers, Objects, Places, pairs_in_parts, spread

__all__ = ["FAULTS", "NEAR_IOU", "Suspicion", "suspect"]

FAULTS = ("spurious", "wrong_class", "badly_located")
"""What can be wrong with a label that is there."""
NEAR_IOU = 0.1
FREE_IOU = 0.5
"""A prediction that overlaps a label so much speaks of that label, not of a missing one."""
SURE = 0.1
"""Score from which predictions are compared with each other: below it one is no suspect anyway."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How suspect the labels are. Of predictions: missing (P,).  Of objects: spurious, wrong_class, badly_located (G,).

    own, other: (G,) the surest prediction that speaks for the object, of its own class and of another; -1: none does.
    evidence: (G, 4) score and IoU of both, in this order.
    """

    missing: Numbers
    spurious: Numbers
    wrong_class: Numbers
    badly_located: Numbers
    own: Places
    other: Places
    evidence: Numbers


def suspect(
    objects: Objects,
    detections: Detections,
    matching: Matching,
    is_visible: Mask | None = None,
    *,
    labels_only: bool = False,
) -> Suspicion:
    """How suspect each label is, and each place without one; crowds and what lies on them are not.

    Args: is_visible: (P,) whether some of each prediction lies in its image; what does not is no missing label.
        labels_only: nothing is missing: what is there is asked, and that is cheaper.
    Raises: DataError: scores outside 0..1.
    """
    check_scores(detections.scores)
    nearest_iou = np.maximum(matching.own_iou, matching.other_iou)
    is_own = matching.own_iou >= matching.other_iou
    nearest = np.where(is_own, matching.own, matching.other)
    num, speaks = len(objects.image), nearest_iou >= NEAR_IOU
    own = _surest(nearest, speaks & is_own, detections.scores, num)
    other = _surest(nearest, speaks & ~is_own, detections.scores, num)
    score, iou = _of(own, detections.scores), _of(own, nearest_iou)
    rival, rival_iou = _of(other, detections.scores), _of(other, nearest_iou)
    labelled = ~objects.is_crowd
    is_ruled_out = matching.on_crowd if is_visible is None else matching.on_crowd | ~is_visible
    nothing = np.zeros(len(nearest_iou))
    return Suspicion(
        missing=nothing if labels_only else _missing(detections, nearest_iou, is_ruled_out),
        spurious=(1 - score) * (1 - rival) * labelled,
        wrong_class=rival * rival_iou * (1 - score) * labelled,
        badly_located=score * (1 - iou) * labelled,
        own=own,
        other=other,
        evidence=np.column_stack([score, iou, rival, rival_iou]),
    )


def _surest(nearest: Places, speaks: np.ndarray, scores: Numbers, num: int) -> Places:
    """Of those that speak for each of ``num`` objects, the one with the highest score: of equals, the first."""
    speakers = np.flatnonzero(speaks)[::-1]
    ordered = speakers[np.argsort(scores[speakers], kind="stable")]
    return spread(nearest[ordered], ordered, num, -1)  # the last one stays


def _of(places: Places, values: Numbers) -> Numbers:
    """The value at each place, 0 where there is none."""
    return np.where(places >= 0, values[np.maximum(places, 0)], 0.0) if len(values) else np.zeros(len(places))


def _missing(detections: Detections, nearest_iou: Numbers, is_ruled_out: np.ndarray) -> Numbers:
    free = (nearest_iou < FREE_IOU) & ~is_ruled_out
    missing = np.where(free, detections.scores * (1 - nearest_iou), 0.0)
    compared = np.flatnonzero(free & (detections.scores >= SURE))
    missing[compared] *= 1 - _overlap_with_surer(detections.only(compared), missing[compared])
    return missing


def _overlap_with_surer(detections: Detections, sureness: Numbers) -> Numbers:
    """IoU of each with the one that overlaps it most among the surer ones of its image, of whatever class."""
    rank = spread(np.argsort(-sureness, kind="stable"), np.arange(len(sureness)), len(sureness), 0)
    boxes = Objects(detections.image, detections.category, detections.boxes, np.zeros(len(rank), dtype=bool))
    overlap = np.zeros(len(rank))
    for part, pairs in pairs_in_parts(boxes, detections):
        surer = pairs.where(rank[pairs.object] < rank[part[pairs.detection]])
        _, overlap[part] = surer.best(len(part))
    return overlap
