"""Does a detector fall for look-alikes? Confident false positives on things planted to be mistaken for objects.

The built-in scenes hold unlabelled digits next to the labelled ones: hard negatives known by construction. The score
of a look-alike is the highest score of any prediction lying on it (IoU at least .5), zero where there is none; the
score of an object is that of the prediction that found it. Recipes calibrate their scores differently (a focal loss
keeps them low, hard mining pushes them up), so a fixed score is not a fair line. Three answers, the fair ones first:

    share at matched recall   look-alikes hit at the score where half of the objects are found
    AUC                       chance that an object outranks a look-alike, over all scores; .5 is guessing
    share at score .5         what a user sees who keeps the scores as they come
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from sklearn.metrics import roc_auc_score

from hardmine.evaluation.coco import checked_predictions
from hardmine.evaluation.matching import Matches, box_iou_xywh

__all__ = ["MATCHED_RECALL", "LookAlikeErrors", "look_alike_errors", "mean_look_alike_errors"]

MATCHED_RECALL = 0.5
FIXED_SCORE = 0.5
ON_IT_IOU = 0.5


@dataclass(frozen=True, slots=True)
class LookAlikeErrors:
    """How often predictions lie on look-alikes.

    `None` where undefined: there is no look-alike, there is no object, or fewer than half of the objects are found.
    """

    num_look_alikes: int
    share_at_matched_recall: float | None
    auc: float | None
    share_at_fixed_score: float | None

    def to_dict(self) -> dict:
        """As a JSON-able dictionary; an undefined value is null."""
        return asdict(self)


def look_alike_errors(
    ground_truth: dict, predictions: Sequence[dict], matches: Matches, look_alikes: Mapping[int, np.ndarray]
) -> LookAlikeErrors:
    """Counts the look-alikes (image id -> (m, 4) xyxy pixels) that predictions of any class lie on.

    A prediction that also lies on a labelled object (IoU at least .5) has the benefit of the doubt and does not count.
    `matches` are those of the same predictions, from `match_predictions`.
    """
    look_alike_scores = _look_alike_scores(ground_truth, predictions, look_alikes)
    object_scores = _object_scores(matches)
    threshold = _score_at_recall(object_scores)
    return LookAlikeErrors(
        num_look_alikes=len(look_alike_scores),
        share_at_matched_recall=None if threshold is None else _share(look_alike_scores >= threshold),
        auc=_auc(object_scores, look_alike_scores),
        share_at_fixed_score=_share(look_alike_scores >= FIXED_SCORE),
    )


def mean_look_alike_errors(runs: Sequence[LookAlikeErrors]) -> LookAlikeErrors:
    """Mean over runs on the same images; `None` stays where any run has none."""
    shares = ("share_at_matched_recall", "auc", "share_at_fixed_score")
    return replace(runs[0], **{name: _mean([getattr(run, name) for run in runs]) for name in shares})


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if len(defined) == len(values) else None


def _look_alike_scores(
    ground_truth: dict, predictions: Sequence[dict], look_alikes: Mapping[int, np.ndarray]
) -> np.ndarray:
    objects, detections = defaultdict(list), defaultdict(list)
    for annotation in ground_truth["annotations"]:
        objects[annotation["image_id"]].append(annotation["bbox"])
    for prediction in checked_predictions(ground_truth, predictions, "predictions"):
        detections[prediction["image_id"]].append(prediction)
    return np.concatenate(
        [_highest_scores(detections[i], objects[i], boxes) for i, boxes in look_alikes.items()] or [np.zeros(0)]
    )


def _highest_scores(detections: list[dict], objects: list, look_alikes: np.ndarray) -> np.ndarray:
    """Highest score (m,) on each look-alike of one image."""
    boxes = [d["bbox"] for d in detections]
    scores = np.array([d["score"] for d in detections], dtype=float)
    on_object = _overlap(boxes, objects).max(axis=1, initial=0.0) >= ON_IT_IOU
    xywh = np.hstack([look_alikes[:, :2], look_alikes[:, 2:] - look_alikes[:, :2]])
    on_look_alike = _overlap(boxes, xywh) >= ON_IT_IOU  # (D, m)
    return np.where(on_look_alike & ~on_object[:, None], scores[:, None], 0.0).max(axis=0, initial=0.0)


def _overlap(boxes: list, others: list | np.ndarray) -> np.ndarray:
    return box_iou_xywh(boxes, others, [0] * len(others))


def _object_scores(matches: Matches) -> np.ndarray:
    """Score at which each labelled object is found at IoU .5, highest first; zero for those never found."""
    found = np.concatenate([of_class.scores[of_class.is_true[0]] for of_class in matches.classes])
    num_objects = sum(int(of_class.num_objects.sum()) for of_class in matches.classes)
    return np.sort(np.pad(found, (0, num_objects - len(found))))[::-1]


def _score_at_recall(object_scores: np.ndarray) -> float | None:
    num_needed = math.ceil(MATCHED_RECALL * len(object_scores))
    return float(object_scores[num_needed - 1]) if num_needed and object_scores[num_needed - 1] > 0 else None


def _share(is_hit: np.ndarray) -> float | None:
    return float(is_hit.mean()) if len(is_hit) else None


def _auc(object_scores: np.ndarray, look_alike_scores: np.ndarray) -> float | None:
    if not len(object_scores) or not len(look_alike_scores):
        return None
    is_object = np.repeat([1, 0], [len(object_scores), len(look_alike_scores)])
    return float(roc_auc_score(is_object, np.concatenate([object_scores, look_alike_scores])))
