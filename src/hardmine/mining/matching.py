"""Which prediction found which object, for all images at once.

The rules are COCO's, as in `evaluation.matching`: within an image and class, in order of score, a prediction takes the
free object with the highest IoU at or over the threshold (of equals the later one). Here at one threshold, without a
limit to the predictions of an image, and with what stands near each prediction, whether it took it or not.

Classes and objects are not looped over, nor images one by one: pairs of one image are listed side by side, as many
images at a time as have a million pairs, and predictions of equal rank in their image and class choose together. So
time grows with the pairs, and memory with objects and predictions only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardmine.errors import ConfigError, ShapeError

__all__ = ["Detections", "Matching", "Objects", "match"]

PAIRS_AT_A_TIME = 1_000_000
"""Predictions with an object of their image that are held at once, about: 200 bytes each."""

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Objects:
    """Annotated objects. image, category: (G,) int.  boxes: (G, 4) xyxy pixels.  is_crowd: (G,) bool."""

    image: Places
    category: Places
    boxes: Numbers
    is_crowd: Mask

    def __post_init__(self) -> None:
        _check("objects", self.image, self.category, self.boxes, self.is_crowd)


@dataclass(frozen=True, slots=True)
class Detections:
    """Predictions. image, category: (P,) int.  boxes: (P, 4) xyxy pixels.  scores: (P,), the higher the surer."""

    image: Places
    category: Places
    boxes: Numbers
    scores: Numbers

    def only(self, rows: Places) -> "Detections":
        """Some of them."""
        return Detections(self.image[rows], self.category[rows], self.boxes[rows], self.scores[rows])

    def __post_init__(self) -> None:
        _check("predictions", self.image, self.category, self.boxes, self.scores)


@dataclass(frozen=True, slots=True)
class Matching:
    """What stands near each prediction. Objects are numbered as they were given; -1 where there is none.

    taken: (P,) the object that each prediction takes, taken_iou: (P,) how much they overlap, 0 where it takes none.
    taken_by: (G,) the prediction that takes each object.
    own, own_iou: (P,) the object of its class that it overlaps most, taken or not, and how much.
    other, other_iou: (P,) the same of all other classes.
    on_crowd: (P,) whether it takes nothing and at least the threshold's share of it lies in a crowd of its class.
    """

    taken: Places
    taken_iou: Numbers
    taken_by: Places
    own: Places
    own_iou: Numbers
    other: Places
    other_iou: Numbers
    on_crowd: Mask


def match(objects: Objects, detections: Detections, iou: float = 0.5) -> Matching:
    """Matches predictions to objects at an IoU threshold.

    Raises: ConfigError: the threshold is not in (0, 1].
    """
    if not 0 < iou <= 1:
        raise ConfigError(f"the IoU threshold must be in (0, 1], got {iou}")
    order = np.argsort(objects.image, kind="stable")
    images = objects.image[order]
    parts = _parts(images, detections.image)
    taken_by = np.full(len(images), -1)
    found = [_match_part(objects, order, images, detections.only(part), iou, part, taken_by) for part in parts]
    back = np.argsort(np.concatenate(parts))
    columns = (np.concatenate(column)[back] for column in zip(*found, strict=True))
    taken, taken_iou, own, own_iou, other, other_iou, on_crowd = columns
    return Matching(taken, taken_iou, taken_by, own, own_iou, other, other_iou, on_crowd)


def _parts(images: Places, of_detections: Places) -> list[Places]:
    """Which predictions to match at a time: those of whole images, with few enough pairs to bound the memory."""
    order = np.argsort(of_detections, kind="stable")
    sorted_images = of_detections[order]
    count = np.searchsorted(images, sorted_images, side="right") - np.searchsorted(images, sorted_images)
    before = np.cumsum(count + 1) - (count + 1)  # pairs of all predictions before; one more for the prediction itself
    part = before[np.searchsorted(sorted_images, sorted_images)] // PAIRS_AT_A_TIME
    return np.split(order, np.flatnonzero(np.diff(part)) + 1)


def _match_part(
    objects: Objects, order: Places, images: Places, detections: Detections, iou: float, part: Places, taken_by: Places
) -> tuple[np.ndarray, ...]:
    """The columns of `Matching` for some predictions; `taken_by` is filled in for their images."""
    pairs = _pairs(objects, order, images, detections)
    same = detections.category[pairs.detection] == objects.category[pairs.object]
    crowd = objects.is_crowd[pairs.object]
    num = len(detections.scores)
    own, own_iou = pairs.where(same & ~crowd).best(num)
    other, other_iou = pairs.where(~same & ~crowd).best(num)
    _, in_crowd = pairs.where(same & crowd).best(num)
    candidates = pairs.where(same & ~crowd & (pairs.overlap >= iou))
    taken, taken_iou = _take_turns(candidates, _turn(detections), num, part, taken_by)
    on_crowd = (taken < 0) & (in_crowd >= iou)
    return taken, taken_iou, own, own_iou, other, other_iou, on_crowd


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Predictions and objects of one image, (K,) each, and how much they overlap."""

    detection: Places
    object: Places
    overlap: Numbers

    def where(self, mask: Mask | Places) -> "_Pairs":
        return _Pairs(self.detection[mask], self.object[mask], self.overlap[mask])

    def ordered(self, first: Places | None = None) -> "_Pairs":
        """By prediction, or by something of it first, then overlap, then object."""
        keys = (self.object, self.overlap, self.detection)
        return self.where(np.lexsort(keys if first is None else (*keys, first)))

    def last_of_each(self) -> "_Pairs":
        """Of ordered pairs, the one of each prediction that overlaps most: of equals, the later object."""
        return self.where(np.append(self.detection[1:] != self.detection[:-1], True)[: len(self.detection)])

    def best(self, num: int) -> tuple[Places, Numbers]:
        """Object and overlap of each of ``num`` predictions, -1 and 0 where it overlaps none."""
        best = self.where(self.overlap > 0).ordered().last_of_each()
        return _spread(best.detection, best.object, num, -1), _spread(best.detection, best.overlap, num, 0.0)


def _pairs(objects: Objects, order: Places, images: Places, detections: Detections) -> _Pairs:
    """Every prediction with every object of its image, given the objects' order by image and their images in it."""
    start = np.searchsorted(images, detections.image)
    count = np.searchsorted(images, detections.image, side="right") - start
    detection = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    index = order[np.repeat(start, count) + within]
    is_crowd = objects.is_crowd[index]
    return _Pairs(detection, index, _overlap(detections.boxes[detection], objects.boxes[index], is_crowd))


def _overlap(boxes: Numbers, others: Numbers, is_crowd: Mask) -> Numbers:
    """IoU of paired boxes; with a crowd, the share of the first box that lies in it."""
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    shared = sides.clip(min=0).prod(axis=1)
    union = _area(boxes) + np.where(is_crowd, 0, _area(others) - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: Numbers) -> Numbers:
    return (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)


def _turn(detections: Detections) -> Places:
    """Place of each prediction among those of its image and class, by falling score; of equals, the first given."""
    order = np.lexsort((-detections.scores, detections.category, detections.image))
    groups = np.stack([detections.image[order], detections.category[order]])
    starts = np.append(True, (groups[:, 1:] != groups[:, :-1]).any(axis=0))[: len(order)]
    place = np.arange(len(order))
    return _spread(order, place - np.maximum.accumulate(np.where(starts, place, 0)), len(order), 0)


def _take_turns(candidates: _Pairs, turn: Places, num: int, places: Places, taken_by: Places) -> tuple[Places, Numbers]:
    """Those whose turn it is choose among the objects that are free; no two of them can want the same."""
    taken, taken_iou = np.full(num, -1), np.zeros(num)
    candidates = candidates.ordered(turn[candidates.detection])
    turns = turn[candidates.detection]
    ends = np.flatnonzero(np.append(turns[1:] != turns[:-1], True)[: len(turns)]) + 1
    for start, end in zip([0, *ends[:-1]], ends, strict=False):
        choosing = candidates.where(np.arange(start, end))
        chosen = choosing.where(taken_by[choosing.object] < 0).last_of_each()
        taken[chosen.detection], taken_iou[chosen.detection] = chosen.object, chosen.overlap
        taken_by[chosen.object] = places[chosen.detection]
    return taken, taken_iou


def _spread(places: Places, values: np.ndarray, num: int, blank: float) -> np.ndarray:
    """The values at their places in an array of ``num``, the others blank."""
    result = np.full(num, blank, dtype=values.dtype)
    result[places] = values
    return result


def _check(what: str, image: Places, category: Places, boxes: Numbers, last: np.ndarray) -> None:
    if not (boxes.ndim == 2 and boxes.shape[1] == 4 and len(image) == len(category) == len(boxes) == len(last)):
        raise ShapeError(
            f"{what}: got images {image.shape}, categories {category.shape}, boxes {boxes.shape} and {last.shape}; "
            f"expected (n,), (n,), (n, 4) and (n,)"
        )
