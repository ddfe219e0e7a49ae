"""Which prediction found which object: the evidence under AP, kept per image so that it can be resampled.

AP is not a mean over images: the predictions of all images are ranked together. But *whether* a prediction is true
depends on its own image only. So the matching is done once, and AP on a resample of the images is the same precision-
recall curve with every prediction and every object counted as often as its image was drawn. That makes a bootstrap of
AP cheap (see `bootstrap`).

The rules are COCO's: in order of score a prediction takes the free object of its class with the highest IoU at or
over the threshold (of equals the later one); failing that, a crowd region makes it neither true nor false; at most
100 predictions per image and class count. Of a range of areas, objects outside of it are as crowds are, but each is
taken once, and a prediction outside of it that takes nothing is neither true nor false. `Matches.average_precision`
with every image once is faster-coco-eval's AP, which does not give out its own matches.
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

__all__ = [
    "AREAS",
    "IOU_THRESHOLDS",
    "ClassMatches",
    "Evidence",
    "Matches",
    "Matching",
    "Objects",
    "Pairs",
    "blocks_of_draws",
    "counts_by_image",
    "match_predictions",
    "mean_over_classes",
    "read_evidence",
]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {  # of an object in square pixels; one on a border is of both ranges
    "all": (0.0, np.inf),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, np.inf),
}
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
MAX_CELLS = 1_000_000  # resamples x true predictions held at a time: 8 MB an array, about what a cache holds


@dataclass(frozen=True, slots=True)
class ClassMatches:
    """The predictions of one class, highest score first: D predictions, T IoU thresholds, I images."""

    scores: np.ndarray  # (D,) float
    image_index: np.ndarray  # (D,) int: place of the image among the sorted image ids
    is_true: np.ndarray  # (T, D) bool
    is_ignored: np.ndarray  # (T, D) bool: on a crowd region, or outside of the range of areas
    iou: np.ndarray  # (T, D) float: with the object that it takes, 0 where it takes none
    num_objects: np.ndarray  # (I,) int: objects to find in each image

    def at(self, thresholds: list[int]) -> "ClassMatches":
        """The same at some of the T thresholds, given by their places."""
        is_true, is_ignored, iou = (table[thresholds] for table in (self.is_true, self.is_ignored, self.iou))
        return ClassMatches(self.scores, self.image_index, is_true, is_ignored, iou, self.num_objects)

    def average_precision(self, image_counts: np.ndarray) -> np.ndarray:
        """AP of this class (R,) with image i counted `image_counts[r, i]` times; NaN where no object of it is drawn."""
        return self.average_precision_of(counts_by_image(image_counts))

    def average_precision_of(self, counts: np.ndarray) -> np.ndarray:
        """The same from counts (I, R) int32."""
        return sum(self.average_precisions_of(counts), np.zeros(counts.shape[1])) / len(self.is_true)

    def average_precisions_of(self, counts: np.ndarray) -> np.ndarray:
        """AP at each threshold (T, R) from counts (I, R) int32; NaN where no object is drawn."""
        num_rows = max(int(self.is_true.any(axis=0).sum()), int(self.num_objects.sum()))
        blocks = blocks_of_draws(counts, num_rows)
        return np.concatenate([self._average_precisions(block) for block in blocks], axis=1)

    def _average_precisions(self, counts: np.ndarray) -> np.ndarray:
        place = np.flatnonzero(self.is_true.any(axis=0))  # the curve's envelope has its corners at true predictions
        num_objects = self.num_drawn(counts)
        reached = _ReachedRecalls(num_objects)
        true = counts[self.image_index[place]]  # (P, R)
        seen = self.sums_up_to(place, np.arange(len(self.scores)), counts)
        found = np.empty((len(self.is_true), counts.shape[1]))
        for of_threshold, is_true, is_ignored in zip(found, self.is_true, self.is_ignored, strict=True):
            rows = is_true[place]
            ignored = np.flatnonzero(is_ignored)
            counted = seen[rows] - self.sums_up_to(place[rows], ignored, counts) if len(ignored) else seen[rows]
            of_threshold[:] = _envelope_mean(_running(true[rows]), counted, reached)
        return np.where(num_objects > 0, found, np.nan)

    def num_drawn(self, counts: np.ndarray) -> np.ndarray:
        """Objects to find (R,), from counts (I, R)."""
        has_objects = np.flatnonzero(self.num_objects)
        return self.num_objects[has_objects] @ counts[has_objects]

    def sums_up_to(
        self, place: np.ndarray, predictions: np.ndarray, counts: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """How many of some predictions there are up to each of P places, as often as they count: (P, R).

        With `weights`, one for each of these predictions, their sum. Those between two places are summed by a sparse
        product, which reads whole rows of the counts.
        """
        after = np.searchsorted(place, predictions)
        is_before_last = after < len(place)
        at = after[is_before_last], self.image_index[predictions[is_before_last]]
        weights = np.ones(len(predictions), dtype=counts.dtype) if weights is None else weights
        between = sparse.coo_array((weights[is_before_last], at), shape=(len(place), len(counts))).tocsr()
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
        return mean_over_classes(self.average_precision_of_classes(counts_by_image(image_counts)))

    def average_precision_of_classes(self, counts: np.ndarray) -> np.ndarray:
        """AP of each class (C, R) from counts (I, R) int32; NaN where no object of it is drawn."""
        return np.stack([matches.average_precision_of(counts) for matches in self.classes])

    def at(self, thresholds: list[int]) -> "Matches":
        """The same at some of the IoU thresholds, given by their places."""
        return Matches(tuple(matches.at(thresholds) for matches in self.classes))


def mean_over_classes(by_class: np.ndarray) -> np.ndarray:
    """Mean (..., R) of values (C, ..., R) over the classes that have one; NaN where none has."""
    is_defined = ~np.isnan(by_class)
    num_defined = is_defined.sum(axis=0)
    total = np.where(is_defined, by_class, 0.0).sum(axis=0)
    return np.where(num_defined > 0, total / np.maximum(num_defined, 1), np.nan)


def counts_by_image(image_counts: np.ndarray) -> np.ndarray:
    """(R, I) as (I, R), in which the counts of one image lie side by side; they are small, and their sums exact."""
    return np.ascontiguousarray(image_counts.T, dtype=np.int32)


def blocks_of_draws(counts: np.ndarray, num_rows: int) -> list[np.ndarray]:
    """Counts (I, R) in blocks of draws, so that a table of so many rows stays below `MAX_CELLS` in each."""
    columns = max(2, MAX_CELLS // max(1, num_rows))  # of a single one NumPy sums in another order, with other last bits
    blocks = np.array_split(counts, max(1, counts.shape[1] // columns), axis=1)
    return [np.ascontiguousarray(block) for block in blocks]


def match_predictions(ground_truth: dict, predictions: Sequence[dict], *, source: str = "predictions") -> Matches:
    """Matches COCO results to COCO ground truth at the ten IoU thresholds .50 ... .95.

    Raises:
        DataError: a prediction that does not fit the ground truth (as in `evaluate_predictions`), or no ground truth.
    """
    evidence = read_evidence(ground_truth, predictions, source)
    return evidence.match(evidence.pairs()).by_class(evidence.detections)


def box_iou_xywh(boxes: ArrayLike, others: ArrayLike, is_crowd: Sequence[int]) -> np.ndarray:
    """IoU (N, M) of xywh boxes; with a crowd region, the share of the box that lies in it."""
    boxes, others = (np.asarray(b, dtype=float).reshape(-1, 4) for b in (boxes, others))
    if not len(boxes) or not len(others):  # for which faster-coco-eval returns no array
        return np.zeros((len(boxes), len(others)))
    return np.asarray(mask.iou(boxes, others, list(is_crowd)))


@dataclass(frozen=True, slots=True)
class Objects:
    """image, category: (G,) places among the sorted ids.  box: (G, 4) xywh.  area, is_crowd: (G,)."""

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    area: np.ndarray
    is_crowd: np.ndarray


@dataclass(frozen=True, slots=True)
class Pairs:
    """Predictions and objects of the same image that overlap, (K,) each, and by how much (with a crowd: its share)."""

    detection: np.ndarray
    object: np.ndarray
    overlap: np.ndarray

    def where(self, chosen: np.ndarray) -> "Pairs":
        """Some of them, given by their places or by a mask."""
        return Pairs(self.detection[chosen], self.object[chosen], self.overlap[chosen])


@dataclass(frozen=True, slots=True)
class Matching:
    """What each of D predictions takes at each of T thresholds.

    object: (T, D) its place, -1 for none.  is_true, is_ignored, iou: (T, D) as in `ClassMatches`.
    num_objects: (C, I) how many there are to find.
    """

    object: np.ndarray
    is_true: np.ndarray
    is_ignored: np.ndarray
    iou: np.ndarray
    num_objects: np.ndarray

    def at(self, rows: np.ndarray) -> "Matching":
        """Of some of the predictions, in their order."""
        tables = (table[:, rows] for table in (self.object, self.is_true, self.is_ignored, self.iou))
        taken, is_true, is_ignored, iou = tables
        return Matching(taken, is_true, is_ignored, iou, self.num_objects)

    def by_class(self, detections: CheckedPredictions) -> Matches:
        """Of each class by itself; the predictions are sorted by class, then by falling score."""
        starts = np.searchsorted(detections.category, np.arange(len(self.num_objects) + 1))
        rows = map(slice, starts[:-1], starts[1:])
        return Matches(tuple(self._of(of, detections, n) for of, n in zip(rows, self.num_objects, strict=True)))

    def _of(self, rows: slice, detections: CheckedPredictions, num_objects: np.ndarray) -> ClassMatches:
        is_true, is_ignored, iou = (table[:, rows] for table in (self.is_true, self.is_ignored, self.iou))
        return ClassMatches(detections.score[rows], detections.image[rows], is_true, is_ignored, iou, num_objects)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The objects of some images, and what was predicted there: by class, falling score, and image."""

    objects: Objects
    detections: CheckedPredictions
    num_images: int
    num_classes: int

    def pairs(self, *, of_any_class: bool = False) -> Pairs:
        """Predictions and the objects of their image and class (or of their image) that they overlap."""
        per_class = 0 if of_any_class else self.num_images
        object_group, group = (of.category * per_class + of.image for of in (self.objects, self.detections))
        return _overlapping(self.objects, object_group, self.detections, group)

    def match(self, pairs: Pairs, area: tuple[float, float] = AREAS["all"]) -> Matching:
        """COCO's matching at the ten thresholds, among `pairs` of one class, of objects of some areas (both included).

        An object outside of the range is not to be found: who takes it, because no object of the range is free, is
        ignored, and so is a prediction outside of the range that takes nothing.
        """
        not_sought = self.objects.is_crowd | ~_is_within(self.objects.area, area)
        taken, iou = self._taken(pairs.where(pairs.overlap >= IOU_THRESHOLDS[0]), not_sought)
        is_taken = taken >= 0
        takes_ignored = np.append(not_sought, False)[taken]  # -1, nothing, is the last
        is_outside = ~_is_within(self.detections.box[:, 2] * self.detections.box[:, 3], area)
        is_ignored = takes_ignored | ~is_taken & is_outside
        return Matching(taken, is_taken & ~takes_ignored, is_ignored, iou, self.num_objects(~not_sought))

    def _taken(self, candidates: Pairs, not_sought: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The object (T, D) that each prediction takes, -1 for none, and its overlap."""
        shape = len(IOU_THRESHOLDS), len(self.detections.score)
        taken, overlap = np.full(shape, -1), np.zeros(shape)
        is_free = np.ones((len(IOU_THRESHOLDS), len(not_sought)), dtype=bool)
        group = self.detections.category * self.num_images + self.detections.image
        for choosing in _turns(candidates, group, not_sought):
            at, chosen = _choices(choosing, is_free)
            taken[at, choosing.detection[chosen]] = choosing.object[chosen]
            overlap[at, choosing.detection[chosen]] = choosing.overlap[chosen]
            is_free[at, choosing.object[chosen]] = self.objects.is_crowd[choosing.object[chosen]]
        return taken, overlap

    def num_objects(self, chosen: np.ndarray) -> np.ndarray:
        """How many of some objects (G,) bool there are of each class in each image: (C, I)."""
        keys = (self.objects.category * self.num_images + self.objects.image)[chosen]
        num_cells = self.num_classes * self.num_images
        return np.bincount(keys, minlength=num_cells).reshape(self.num_classes, self.num_images)


def read_evidence(ground_truth: dict, predictions: Sequence[dict], source: str = "predictions") -> Evidence:
    """The evidence in COCO ground truth and COCO results. Raises: as `match_predictions`."""
    image_ids, category_ids = (sorted(item["id"] for item in ground_truth[of]) for of in ("images", "categories"))
    found = checked_arrays(predictions, source, image_ids, category_ids)
    if not image_ids or not category_ids:
        raise DataError("the ground truth has no image or no class, so there is nothing to match")
    objects = _objects(ground_truth["annotations"], image_ids, category_ids)
    return Evidence(objects, _ranked(found), len(image_ids), len(category_ids))


def _is_within(area: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (area >= limits[0]) & (area <= limits[1])


def _objects(annotations: Sequence[dict], image_ids: Sequence, category_ids: Sequence) -> Objects:
    """Those of an image and a class that there are."""
    image, category = (dict(zip(ids, range(len(ids)), strict=True)) for ids in (image_ids, category_ids))
    known = [a for a in annotations if a["image_id"] in image and a["category_id"] in category]
    return Objects(
        np.array([image[a["image_id"]] for a in known], dtype=np.int64),
        np.array([category[a["category_id"]] for a in known], dtype=np.int64),
        np.array([a["bbox"] for a in known], dtype=float).reshape(-1, 4),
        np.array([a["area"] if "area" in a else a["bbox"][2] * a["bbox"][3] for a in known], dtype=float),
        np.array([bool(a.get("iscrowd", 0)) for a in known], dtype=bool),
    )


def _ranked(found: CheckedPredictions) -> CheckedPredictions:
    """The first `MAX_DETECTIONS` of each image and class, by class, falling score, image; of equals as they came."""
    order = np.lexsort((-found.score, found.image, found.category))
    is_first = np.diff(found.image[order], prepend=-1) != 0
    is_first |= np.diff(found.category[order], prepend=-1) != 0
    kept = order[place_in_run(is_first) < MAX_DETECTIONS]
    return found.at(kept[np.lexsort((found.image[kept], -found.score[kept], found.category[kept]))])


def _overlapping(
    objects: Objects, group_of_object: np.ndarray, detections: CheckedPredictions, group: np.ndarray
) -> Pairs:
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
    return Pairs(detection, index, overlap)


def _turns(candidates: Pairs, group: np.ndarray, not_sought: np.ndarray) -> Iterator[Pairs]:
    """The surest prediction of each group with all it may take, then the second of each, and so on.

    Those of a turn are ordered by prediction, by what it rather takes (an object that is to be found), overlap, and
    object: of equals, the later object comes last.
    """
    takers = np.unique(candidates.detection)
    order = np.argsort(group[takers], kind="stable")
    turn = np.zeros(len(group), dtype=np.int64)
    turn[takers[order]] = place_in_run(np.diff(group[takers[order]], prepend=-1) != 0)
    turns = turn[candidates.detection]
    preference = candidates.object, candidates.overlap, ~not_sought[candidates.object]
    ordered = np.lexsort((*preference, candidates.detection, turns))
    starts = np.flatnonzero(np.diff(turns[ordered], prepend=-1))
    yield from (candidates.where(rows) for rows in np.split(ordered, starts[1:]) if len(rows))


def _choices(choosing: Pairs, is_free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is taken in a turn, as thresholds and pairs: each prediction's last free one; no two can want the same."""
    is_possible = is_free[:, choosing.object] & (choosing.overlap >= IOU_THRESHOLDS[:, None])  # (T, K)
    starts = np.flatnonzero(np.diff(choosing.detection, prepend=-1))
    last = np.maximum.reduceat(np.where(is_possible, np.arange(is_possible.shape[1]), -1), starts, axis=1)
    threshold, chooser = np.nonzero(last >= 0)
    return threshold, last[threshold, chooser]


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
