"""Which prediction found which object: the evidence under AP, kept per image so that it can be resampled.

AP is not a mean over images: the predictions of all images are ranked together. But *whether* a prediction is true
depends on its own image only. So the matching is done once, and AP on a resample of the images is the same precision-
recall curve with every prediction and every object counted as often as its image was drawn. That makes a bootstrap of
AP cheap (see `bootstrap`).

The rules are COCO's: in order of score a prediction takes the free object of its class with the highest IoU at or
over the threshold (of equals the later one); failing that, a crowd region makes it neither true nor false; at most
100 predictions per image and class count. `Matches.average_precision` with every image once is faster-coco-eval's AP,
which does not give out its own matches.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import mask
from numpy.typing import ArrayLike

from hardmine.errors import DataError
from hardmine.evaluation.coco import checked_predictions

__all__ = ["IOU_THRESHOLDS", "ClassMatches", "Matches", "match_predictions"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
MAX_CELLS = 4_000_000  # resamples x predictions held at a time: 32 MB an array


@dataclass(frozen=True, slots=True)
class ClassMatches:
    """The predictions of one class, highest score first: D predictions, T IoU thresholds, I images."""

    scores: np.ndarray  # (D,) float
    image_index: np.ndarray  # (D,) int: place of the image among the sorted image ids
    is_true: np.ndarray  # (T, D) bool
    is_ignored: np.ndarray  # (T, D) bool: on a crowd region
    num_objects: np.ndarray  # (I,) int: objects to find in each image

    def average_precision(self, image_counts: np.ndarray) -> np.ndarray:
        """AP of this class (R,) with image i counted `image_counts[r, i]` times; NaN where no object of it is drawn."""
        rows = max(1, MAX_CELLS // max(1, len(self.scores)))
        return np.concatenate(
            [self._average_precision(image_counts[r : r + rows]) for r in range(0, len(image_counts), rows)]
        )

    def _average_precision(self, image_counts: np.ndarray) -> np.ndarray:
        num_objects = image_counts @ self.num_objects  # (R,)
        counts = image_counts[:, self.image_index]  # (R, D)
        seen = np.cumsum(counts, axis=1)
        total = np.zeros(len(counts))
        for is_true, is_ignored in zip(self.is_true, self.is_ignored, strict=True):
            place = np.flatnonzero(is_true)  # the curve's envelope has its corners at true predictions only
            counted = np.cumsum(counts * ~is_ignored, axis=1) if is_ignored.any() else seen
            total += _envelope_mean(np.cumsum(counts[:, place], axis=1), counted[:, place], num_objects)
        return np.where(num_objects > 0, total / len(self.is_true), np.nan)


@dataclass(frozen=True, slots=True)
class Matches:
    """One set of predictions matched to the ground truth, class by class."""

    classes: tuple[ClassMatches, ...]

    @property
    def num_images(self) -> int:
        """Images in the ground truth, those without objects or predictions included."""
        return len(self.classes[0].num_objects)

    def average_precision(self, image_counts: np.ndarray) -> np.ndarray:
        """AP (R,) on R resamples of the images, given how often each image is in each: (R, I) integers.

        As in COCO a class without objects is left out of the mean; NaN where no class has any.
        """
        by_class = np.stack([matches.average_precision(image_counts) for matches in self.classes])  # (C, R)
        is_defined = ~np.isnan(by_class)
        num_defined = is_defined.sum(axis=0)
        total = np.where(is_defined, by_class, 0.0).sum(axis=0)
        return np.where(num_defined > 0, total / np.maximum(num_defined, 1), np.nan)


def match_predictions(ground_truth: dict, predictions: Sequence[dict], *, source: str = "predictions") -> Matches:
    """Matches COCO results to COCO ground truth at the ten IoU thresholds .50 ... .95.

    Raises:
        DataError: a prediction that does not fit the ground truth (as in `evaluate_predictions`), or no ground truth.
    """
    predictions = checked_predictions(ground_truth, predictions, source)
    image_ids = sorted(image["id"] for image in ground_truth["images"])
    if not image_ids or not ground_truth["categories"]:
        raise DataError("the ground truth has no image or no class, so there is nothing to match")
    objects = _by_class_and_image(ground_truth["annotations"])
    detections = _by_class_and_image(predictions)
    category_ids = sorted(category["id"] for category in ground_truth["categories"])
    return Matches(tuple(_match_class(image_ids, objects[c], detections[c]) for c in category_ids))


def box_iou_xywh(boxes: ArrayLike, others: ArrayLike, is_crowd: Sequence[int]) -> np.ndarray:
    """IoU (N, M) of xywh boxes; with a crowd region, the share of the box that lies in it."""
    boxes, others = (np.asarray(b, dtype=float).reshape(-1, 4) for b in (boxes, others))
    if not len(boxes) or not len(others):  # for which faster-coco-eval returns no array
        return np.zeros((len(boxes), len(others)))
    return np.asarray(mask.iou(boxes, others, list(is_crowd)))


def _by_class_and_image(records: Iterable[dict]) -> Mapping[int, Mapping[int, list[dict]]]:
    grouped: defaultdict[int, defaultdict[int, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        grouped[record["category_id"]][record["image_id"]].append(record)
    return grouped


def _match_class(image_ids: list[int], objects: Mapping[int, list], detections: Mapping[int, list]) -> ClassMatches:
    parts = [
        _match_image(i, objects.get(image_id, []), detections.get(image_id, [])) for i, image_id in enumerate(image_ids)
    ]
    scores, image_index, is_true, is_ignored = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    num_objects = [sum(not o.get("iscrowd", 0) for o in objects.get(image_id, [])) for image_id in image_ids]
    return ClassMatches(
        scores[order], image_index[order], is_true[:, order], is_ignored[:, order], np.array(num_objects)
    )


def _match_image(index: int, objects: list[dict], detections: list[dict]) -> tuple[np.ndarray, ...]:
    """Scores (D,), image index (D,), is_true, is_ignored (T, D) of one image and class, highest score first."""
    detections = sorted(detections, key=lambda d: -d["score"])[:MAX_DETECTIONS]
    is_crowd = np.array([bool(o.get("iscrowd", 0)) for o in objects], dtype=bool)
    iou = box_iou_xywh([d["bbox"] for d in detections], [o["bbox"] for o in objects], is_crowd.astype(int).tolist())
    is_true = _take_objects(iou[:, ~is_crowd])
    on_crowd = iou[:, is_crowd].max(axis=1, initial=0.0) >= IOU_THRESHOLDS[:, None]
    return (
        np.array([d["score"] for d in detections], dtype=float),
        np.full(len(detections), index),
        is_true,
        on_crowd & ~is_true,
    )


def _take_objects(iou: np.ndarray) -> np.ndarray:
    """Gives each object to the first prediction that wants it most: (D, G) IoU -> (T, D) bool."""
    is_true = np.zeros((len(IOU_THRESHOLDS), len(iou)), dtype=bool)
    is_taken = np.zeros((len(IOU_THRESHOLDS), iou.shape[1]), dtype=bool)
    for d in np.flatnonzero(iou.max(axis=1, initial=0.0) >= IOU_THRESHOLDS[0]):
        wanted = np.where(is_taken | (iou[d] < IOU_THRESHOLDS[:, None]), -1.0, iou[d])  # (T, G)
        last_best = wanted.shape[1] - 1 - wanted[:, ::-1].argmax(axis=1)
        found = np.flatnonzero(wanted.max(axis=1) >= 0)
        is_true[found, d] = True
        is_taken[found, last_best[found]] = True
    return is_true


def _envelope_mean(true: np.ndarray, seen: np.ndarray, num_objects: np.ndarray) -> np.ndarray:
    """Mean precision envelope (R,) at the 101 recalls, from counts (R, P) up to each of P true predictions."""
    precision = true / np.maximum(seen, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = true / np.maximum(num_objects, 1)[:, None]
    num_reached = np.searchsorted(RECALL_POINTS, recall, side="right")  # of the 101, at each true prediction
    return (envelope * np.diff(num_reached, axis=1, prepend=0)).sum(axis=1) / len(RECALL_POINTS)
