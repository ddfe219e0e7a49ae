"""Predictions and the objects of their images side by side: what all that compares boxes is computed from.

Images are not looped over one by one: pairs of one image are listed side by side, as many images at a time as have a
million pairs, and those that do not overlap are left out. So time grows with the pairs, and memory with objects and
predictions only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardmine.errors import ShapeError
from hardmine.tables.groups import Grouped

__all__ = ["ANY_CATEGORY", "Detections", "Mask", "Numbers", "Objects", "Pairs", "Places", "pairs_in_parts", "spread"]


PAIRS_AT_A_TIME = 1_000_000
"""Predictions with an object of their image that are held at once, about: 200 bytes each."""

ANY_CATEGORY = np.iinfo(np.int64).min
"""Of a crowd of anything: a place of which nobody knows what is there."""

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

    def only(self, rows: Places) -> "Objects":
        """Some of them."""
        return Objects(self.image[rows], self.category[rows], self.boxes[rows], self.is_crowd[rows])

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


def pairs_in_parts(objects: Objects, detections: Detections) -> Iterator[tuple[Places, "Pairs"]]:
    """Every prediction with every object of its image that it overlaps, of about a million pairs at a time.

    Yields the predictions of a part, those of whole images, and their pairs, which number them as they lie in the part.
    """
    of_images = Grouped(objects.image)
    for part in _parts(of_images, detections.image):
        yield part, _overlapping(detections.boxes[part], objects, *of_images.pairs(detections.image[part]))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Predictions and objects of one image that overlap, (K,) each, and by how much."""

    detection: Places
    object: Places
    overlap: Numbers

    def where(self, mask: Mask | Places) -> "Pairs":
        return Pairs(self.detection[mask], self.object[mask], self.overlap[mask])

    def ordered(self, first: Places | None = None) -> "Pairs":
        """By prediction, or by something of it first, then overlap, then object."""
        keys = (self.object, self.overlap, self.detection)
        return self.where(np.lexsort(keys if first is None else (*keys, first)))

    def last_of_each(self) -> "Pairs":
        """Of ordered pairs, the one of each prediction that overlaps most: of equals, the later object."""
        return self.where(np.append(self.detection[1:] != self.detection[:-1], True)[: len(self.detection)])

    def best(self, num: int) -> tuple[Places, Numbers]:
        """Object and overlap of each of ``num`` predictions, -1 and 0 where it overlaps none."""
        best = self.where(self.overlap > 0).ordered().last_of_each()
        return spread(best.detection, best.object, num, -1), spread(best.detection, best.overlap, num, 0.0)


def _overlapping(boxes: Numbers, objects: Objects, place: Places, other: Places) -> Pairs:
    """Of the boxes at these places and the objects at those the pairs that overlap, and by how much: the IoU, or with a
    crowd the share of the box that lies in it.

    Sides are taken one by one: most pairs of an image are apart in x already, and memory is read in order.
    """
    (x1, y1, x2, y2), (u1, v1, u2, v2) = np.ascontiguousarray(boxes.T), np.ascontiguousarray(objects.boxes.T)
    width = np.minimum(x2[place], u2[other]) - np.maximum(x1[place], u1[other])
    meets = np.flatnonzero(width > 0)
    place, other, width = place[meets], other[meets], width[meets]
    height = np.minimum(y2[place], v2[other]) - np.maximum(y1[place], v1[other])
    meets = np.flatnonzero(height > 0)
    place, other, shared = place[meets], other[meets], width[meets] * height[meets]
    area = (x2 - x1).clip(min=0) * (y2 - y1).clip(min=0)
    other_area = (u2 - u1).clip(min=0) * (v2 - v1).clip(min=0)
    union = area[place] + np.where(objects.is_crowd[other], 0, other_area[other] - shared)
    return Pairs(place, other, np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _parts(of_images: Grouped, of_detections: Places) -> list[Places]:
    """Which predictions to match at a time: those of whole images, with few enough pairs to bound the memory."""
    order = np.argsort(of_detections, kind="stable")
    sorted_images = of_detections[order]
    count = of_images.count(sorted_images)
    before = np.cumsum(count + 1) - (count + 1)  # pairs of all predictions before; one more for the prediction itself
    part = before[np.searchsorted(sorted_images, sorted_images)] // PAIRS_AT_A_TIME
    return np.split(order, np.flatnonzero(np.diff(part)) + 1)


def spread(places: Places, values: np.ndarray, num: int, blank: float) -> np.ndarray:
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
