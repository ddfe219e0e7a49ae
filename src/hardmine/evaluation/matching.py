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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import mask
from numpy.typing import ArrayLike
from scipy import sparse

from hardmine.errors import DataError
from hardmine.evaluation.coco import CheckedPredictions, checked_arrays
from hardmine.tables.groups import Grouped, place_in_run, places_of_lengths

__all__ = ["IOU_THRESHOLDS", "ClassMatches", "Matches", "match_predictions"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
MAX_CELLS = 1_000_000  # resamples x true predictions held at a time: 8 MB an array, about what a cache holds


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
        return self.average_precision_of(_by_image(image_counts))

    def average_precision_of(self, counts: np.ndarray) -> np.ndarray:
        """The same from counts (I, R) int32."""
        rows = max(1, int(self.is_true.any(axis=0).sum()), int(self.num_objects.sum()))
        columns = max(2, MAX_CELLS // rows)  # of a single one NumPy sums in another order, with other last bits
        blocks = np.array_split(counts, max(1, counts.shape[1] // columns), axis=1)
        return np.concatenate([self._average_precision(np.ascontiguousarray(block)) for block in blocks])

    def _average_precision(self, counts: np.ndarray) -> np.ndarray:
        place = np.flatnonzero(self.is_true.any(axis=0))  # the curve's envelope has its corners at true predictions
        has_objects = np.flatnonzero(self.num_objects)
        num_objects = self.num_objects[has_objects] @ counts[has_objects]  # (R,)
        reached = _ReachedRecalls(num_objects)
        true = counts[self.image_index[place]]  # (P, R)
        seen = self._num_up_to(place, np.arange(len(self.scores)), counts)
        total = np.zeros(counts.shape[1])
        for is_true, is_ignored in zip(self.is_true, self.is_ignored, strict=True):
            rows = is_true[place]
            ignored = np.flatnonzero(is_ignored)
            counted = seen[rows] - self._num_up_to(place[rows], ignored, counts) if len(ignored) else seen[rows]
            total += _envelope_mean(_running(true[rows]), counted, reached)
        return np.where(num_objects > 0, total / len(self.is_true), np.nan)

    def _num_up_to(self, place: np.ndarray, predictions: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """How many of some predictions there are up to each of P places, as often as they count: (P, R).

        Those between two places are summed by a sparse product, which reads whole rows of the counts.
        """
        after = np.searchsorted(place, predictions)
        is_before_last = after < len(place)
        at = after[is_before_last], self.image_index[predictions[is_before_last]]
        ones = np.ones(len(at[0]), dtype=counts.dtype)
        between = sparse.coo_array((ones, at), shape=(len(place), len(counts))).tocsr()
        return _running(between @ counts)


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
        counts = _by_image(image_counts)
        by_class = np.stack([matches.average_precision_of(counts) for matches in self.classes])  # (C, R)
        is_defined = ~np.isnan(by_class)
        num_defined = is_defined.sum(axis=0)
        total = np.where(is_defined, by_class, 0.0).sum(axis=0)
        return np.where(num_defined > 0, total / np.maximum(num_defined, 1), np.nan)


def match_predictions(ground_truth: dict, predictions: Sequence[dict], *, source: str = "predictions") -> Matches:
    """Matches COCO results to COCO ground truth at the ten IoU thresholds .50 ... .95.

    Raises:
        DataError: a prediction that does not fit the ground truth (as in `evaluate_predictions`), or no ground truth.
    """
    image_ids, category_ids = (sorted(item["id"] for item in ground_truth[of]) for of in ("images", "categories"))
    found = checked_arrays(predictions, source, image_ids, category_ids)
    if not image_ids or not category_ids:
        raise DataError("the ground truth has no image or no class, so there is nothing to match")
    objects = _objects(ground_truth["annotations"], image_ids, category_ids)
    detections = _ranked(found)
    is_true, is_ignored = _match(objects, detections, len(image_ids))
    num_objects = _num_objects(objects, len(image_ids), len(category_ids))
    starts = np.searchsorted(detections.category, np.arange(len(category_ids) + 1))
    return Matches(
        tuple(
            ClassMatches(detections.score[of], detections.image[of], is_true[:, of], is_ignored[:, of], num_of_class)
            for num_of_class, of in zip(num_objects, map(slice, starts[:-1], starts[1:]), strict=True)
        )
    )


def box_iou_xywh(boxes: ArrayLike, others: ArrayLike, is_crowd: Sequence[int]) -> np.ndarray:
    """IoU (N, M) of xywh boxes; with a crowd region, the share of the box that lies in it."""
    boxes, others = (np.asarray(b, dtype=float).reshape(-1, 4) for b in (boxes, others))
    if not len(boxes) or not len(others):  # for which faster-coco-eval returns no array
        return np.zeros((len(boxes), len(others)))
    return np.asarray(mask.iou(boxes, others, list(is_crowd)))


@dataclass(frozen=True, slots=True)
class _Objects:
    """image, category: (G,) places among the sorted ids.  box: (G, 4) xywh.  is_crowd: (G,)."""

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    is_crowd: np.ndarray


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Predictions and objects of the same image and class that overlap, (K,) each, and by how much."""

    detection: np.ndarray
    object: np.ndarray
    overlap: np.ndarray

    def where(self, chosen: np.ndarray) -> "_Pairs":
        return _Pairs(self.detection[chosen], self.object[chosen], self.overlap[chosen])


def _objects(annotations: Sequence[dict], image_ids: Sequence, category_ids: Sequence) -> _Objects:
    """Those of an image and a class that there are."""
    image, category = (dict(zip(ids, range(len(ids)), strict=True)) for ids in (image_ids, category_ids))
    known = [a for a in annotations if a["image_id"] in image and a["category_id"] in category]
    return _Objects(
        np.array([image[a["image_id"]] for a in known], dtype=np.int64),
        np.array([category[a["category_id"]] for a in known], dtype=np.int64),
        np.array([a["bbox"] for a in known], dtype=float).reshape(-1, 4),
        np.array([bool(a.get("iscrowd", 0)) for a in known], dtype=bool),
    )


def _ranked(found: CheckedPredictions) -> CheckedPredictions:
    """The first `MAX_DETECTIONS` of each image and class, by class, falling score, image; of equals as they came."""
    order = np.lexsort((-found.score, found.image, found.category))
    is_first = np.diff(found.image[order], prepend=-1) != 0
    is_first |= np.diff(found.category[order], prepend=-1) != 0
    kept = order[place_in_run(is_first) < MAX_DETECTIONS]
    kept = kept[np.lexsort((found.image[kept], -found.score[kept], found.category[kept]))]
    return CheckedPredictions(found.image[kept], found.category[kept], found.box[kept], found.score[kept])


def _num_objects(objects: _Objects, num_images: int, num_categories: int) -> np.ndarray:
    """(C, I) without crowds."""
    keys = (objects.category * num_images + objects.image)[~objects.is_crowd]
    return np.bincount(keys, minlength=num_categories * num_images).reshape(num_categories, num_images)


def _match(objects: _Objects, detections: CheckedPredictions, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Which predictions are true, and which others lie on a crowd: (T, D) each."""
    group = detections.category * num_images + detections.image
    pairs = _overlapping(objects, objects.category * num_images + objects.image, detections, group)
    on_crowd = objects.is_crowd[pairs.object]
    in_crowd = np.zeros(len(group))
    np.maximum.at(in_crowd, pairs.detection[on_crowd], pairs.overlap[on_crowd])
    candidates = pairs.where(~on_crowd & (pairs.overlap >= IOU_THRESHOLDS[0]))
    is_true = np.zeros((len(IOU_THRESHOLDS), len(group)), dtype=bool)
    is_taken = np.zeros((len(IOU_THRESHOLDS), len(objects.image)), dtype=bool)
    for choosing in _turns(candidates, group):
        _take(choosing, is_true, is_taken)
    return is_true, (in_crowd >= IOU_THRESHOLDS[:, None]) & ~is_true


def _overlapping(
    objects: _Objects, group_of_object: np.ndarray, detections: CheckedPredictions, group: np.ndarray
) -> _Pairs:
    """Those of one group, in the order of the predictions, then of the objects."""
    detection, index = Grouped(group_of_object).pairs(group)
    box, other = detections.box[detection].T, objects.box[index].T
    sides = [
        np.minimum(box[axis + 2] + box[axis], other[axis + 2] + other[axis]) - np.maximum(box[axis], other[axis])
        for axis in (0, 1)
    ]
    shared = sides[0].clip(min=0) * sides[1].clip(min=0)
    area, other_area = box[2] * box[3], other[2] * other[3]
    union = np.where(objects.is_crowd[index], area, area + other_area - shared)
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
    return _Pairs(detection, index, overlap)


def _turns(candidates: _Pairs, group: np.ndarray) -> Iterator[_Pairs]:
    """The surest prediction of each group with all it may take, then the second of each, and so on.

    Those of a turn are ordered by prediction, overlap, and object: of equals, the later object comes last.
    """
    takers = np.unique(candidates.detection)
    order = np.argsort(group[takers], kind="stable")
    turn = np.zeros(len(group), dtype=np.int64)
    turn[takers[order]] = place_in_run(np.diff(group[takers[order]], prepend=-1) != 0)
    turns = turn[candidates.detection]
    ordered = np.lexsort((candidates.object, candidates.overlap, candidates.detection, turns))
    starts = np.flatnonzero(np.diff(turns[ordered], prepend=-1))
    yield from (candidates.where(rows) for rows in np.split(ordered, starts[1:]) if len(rows))


def _take(choosing: _Pairs, is_true: np.ndarray, is_taken: np.ndarray) -> None:
    """Each prediction takes, at each threshold, the free object that it overlaps most; no two can want the same."""
    is_free = ~is_taken[:, choosing.object] & (choosing.overlap >= IOU_THRESHOLDS[:, None])  # (T, K)
    starts = np.flatnonzero(np.diff(choosing.detection, prepend=-1))
    last_free = np.maximum.reduceat(np.where(is_free, np.arange(is_free.shape[1]), -1), starts, axis=1)
    threshold, chooser = np.nonzero(last_free >= 0)
    is_true[threshold, choosing.detection[starts[chooser]]] = True
    is_taken[threshold, choosing.object[last_free[threshold, chooser]]] = True


def _by_image(image_counts: np.ndarray) -> np.ndarray:
    """(R, I) as (I, R), in which the counts of one image lie side by side; they are small, and their sums exact."""
    return np.ascontiguousarray(image_counts.T, dtype=np.int32)


def _running(counts: np.ndarray) -> np.ndarray:
    """Sums of counts (P, R) up to each row."""
    return np.cumsum(counts, axis=0, dtype=counts.dtype)


class _ReachedRecalls:
    """How many of the 101 recalls are reached with so many true predictions, in each of R resamples: looked up."""

    def __init__(self, num_objects: np.ndarray):
        lengths = num_objects.astype(np.int64) + 1
        self._first = np.cumsum(lengths) - lengths
        recall = places_of_lengths(lengths) / np.repeat(np.maximum(num_objects, 1), lengths)
        self._reached = np.searchsorted(RECALL_POINTS, recall, side="right").astype(np.int8)

    def __call__(self, true: np.ndarray) -> np.ndarray:
        """(P, R)."""
        return self._reached[self._first + true]


def _envelope_mean(true: np.ndarray, seen: np.ndarray, reached: _ReachedRecalls) -> np.ndarray:
    """Mean precision envelope (R,) at the 101 recalls, from counts (P, R) up to each of P true predictions."""
    if not len(true):
        return np.zeros(true.shape[1])
    precision = true / np.maximum(seen, 1)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    newly_reached = np.diff(reached(true), axis=0, prepend=np.int8(0))
    return (envelope * newly_reached).sum(axis=0) / len(RECALL_POINTS)
