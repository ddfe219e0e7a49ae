"""What is wrong with each prediction, which objects are missed, and how hard all of them are.

A prediction that takes no object has the first of TIDE's types that fits (Bolya, Foley, Hays, Hoffman, TIDE: A General
Toolbox for Identifying Object Detection Errors, ECCV 2020, arXiv:2008.08115), with the IoU of the nearest object of its
own and of another class:

    badly located   near <= own < found            duplicate    own >= found, and the object is taken
    confusion       other >= found                 both         near <= other < found
    background      neither reaches near           ignored      in a crowd of its class

Hardness is in [0, 1]: of an object, and of the prediction that takes it, 1 - score · IoU; of an object that nobody
takes, 1; of a prediction that takes none, its score. From `HARD` on it is a hard positive, or negative; below an easy
one.
"""

import numpy as np
from numpy.typing import NDArray

from hardmine.errors import ConfigError, DataError
from hardmine.mining.matching import Matching
from hardmine.mining.pairs import Detections, Mask, Numbers

__all__ = ["ERRORS", "HARD", "check_scores", "hardness_of_detections", "hardness_of_objects", "name_detections"]

ERRORS = ("true", "badly located", "confusion", "duplicate", "both", "background", "ignored")
HARD = 0.5


def name_detections(matching: Matching, found_iou: float = 0.5, near_iou: float = 0.1) -> NDArray[np.str_]:
    """One of `ERRORS` for each prediction, (P,); the thresholds are TIDE's.

    Raises: ConfigError: thresholds that are not 0 < near_iou < found_iou <= 1.
    """
    if not 0 < near_iou < found_iou <= 1:
        raise ConfigError(f"expected 0 < near_iou < found_iou <= 1, got {near_iou} and {found_iou}")
    own, other = matching.own_iou, matching.other_iou
    conditions = [
        matching.taken >= 0,
        matching.on_crowd,
        (own >= near_iou) & (own < found_iou),
        other >= found_iou,
        own >= found_iou,
        other >= near_iou,
    ]
    return np.select(conditions, ["true", "ignored", *ERRORS[1:5]], default="background")


def hardness_of_objects(matching: Matching, detections: Detections) -> Numbers:
    """(G,) in [0, 1]."""
    check_scores(detections.scores)
    found = matching.taken_by >= 0
    hardness = np.ones(len(found))
    by = matching.taken_by[found]
    hardness[found] = 1 - detections.scores[by] * matching.taken_iou[by]
    return hardness


def hardness_of_detections(matching: Matching, detections: Detections) -> Numbers:
    """(P,) in [0, 1]."""
    check_scores(detections.scores)
    is_true: Mask = matching.taken >= 0
    return np.where(is_true, 1 - detections.scores * matching.taken_iou, detections.scores)


def check_scores(scores: Numbers) -> None:
    wrong = ~((scores >= 0) & (scores <= 1))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"prediction {first} has the score {scores[first]}; hardness needs scores from 0 to 1, so bring them there "
            f"first (a sigmoid, or a division by the largest)"
        )
