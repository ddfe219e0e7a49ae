"""COCO's shapes of objects as the pixels that they cover: polygons and run lengths.

Convention: a pixel belongs to a polygon if its centre, half a pixel from its corner, lies inside (even-odd rule); one
on an edge belongs to the right of it. Polygons of one object add up. COCO's own rasteriser rounds outlines to a fifth
of a pixel and counts some pixels that an edge only touches; the two differ along the outline alone. Run lengths go down
the columns, first of what is not the object, packed as text or as plain numbers.

Shapes come from files of others: no more is decoded than an image has pixels, whatever the numbers say.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hardmine.data.entries import as_number
from hardmine.errors import DataError

__all__ = ["Box", "Polygons", "Runs", "Shape", "read_shape"]

_EDGES_AT_A_TIME = 1024
_LONGEST_GROUP = 6  # characters of five bits that one packed run may have: 2^29 pixels


@dataclass(frozen=True, slots=True)
class Polygons:
    """Outlines (n, 2) of x and y in pixels, each closed from its last point to its first."""

    outlines: tuple[np.ndarray, ...]

    def covered(self, width: int, height: int) -> np.ndarray:
        """(H, W) bool."""
        covered = np.zeros((height, width), dtype=bool)
        for outline in self.outlines:
            covered |= _inside(outline, width, height)
        return covered


@dataclass(frozen=True, slots=True)
class Runs:
    """Lengths of runs down the columns, in turn outside and inside; they fill width x height."""

    lengths: np.ndarray

    def covered(self, width: int, height: int) -> np.ndarray:
        """(H, W) bool."""
        is_inside = np.arange(len(self.lengths)) % 2 == 1
        return np.repeat(is_inside, self.lengths).reshape(width, height).T


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, xyxy in pixels, where nothing better is known: every pixel that it touches."""

    corners: tuple[float, float, float, float]

    def covered(self, width: int, height: int) -> np.ndarray:
        """(H, W) bool."""
        limits = np.array([width, height, width, height])
        x1, y1, x2, y2 = np.clip(self.corners, 0, limits)
        covered = np.zeros((height, width), dtype=bool)
        covered[int(np.floor(y1)) : int(np.ceil(y2)), int(np.floor(x1)) : int(np.ceil(x2))] = True
        return covered


Shape = Polygons | Runs


def read_shape(segmentation: Any, width: int, height: int) -> Shape:
    """The shape of a COCO annotation on an image of that size.

    Raises: DataError: it is neither polygons nor run lengths, or these do not fill the image.
    """
    if isinstance(segmentation, dict):
        return _read_runs(segmentation, width, height)
    polygons = segmentation if isinstance(segmentation, list) else []
    polygons = [polygons] if polygons and as_number(polygons[0]) is not None else polygons
    outlines = tuple(_outline(polygon) for polygon in polygons)
    if not outlines:
        raise DataError("it has no shape; expected polygons or run lengths as its segmentation")
    return Polygons(outlines)


def _outline(polygon: Any) -> np.ndarray:
    numbers = [as_number(value) for value in polygon] if isinstance(polygon, list) else []
    if len(numbers) < 6 or len(numbers) % 2 or None in numbers:
        raise DataError("a polygon is no list of at least three points x, y; correct it")
    outline = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(outline).all():
        raise DataError("a polygon has a coordinate that is not finite; correct the number")
    return outline


def _inside(outline: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W) bool: how often the outline is crossed to the left of each pixel's centre, even or odd."""
    toggles = np.zeros((height, width + 1), dtype=np.int32)
    following = np.roll(outline, -1, axis=0)
    for start in range(0, len(outline), _EDGES_AT_A_TIME):
        part = slice(start, start + _EDGES_AT_A_TIME)
        rows, columns = _crossings(outline[part], following[part], width, height)
        np.add.at(toggles, (rows, columns), 1)
    return np.cumsum(toggles, axis=1)[:, :width] % 2 == 1


def _crossings(starts: np.ndarray, ends: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Row of each crossing of an edge with a line of pixel centres, and the first column to the right of it."""
    is_down = (starts[:, 1] <= ends[:, 1])[:, None]
    upper, lower = np.where(is_down, starts, ends), np.where(is_down, ends, starts)
    first, last = (
        np.ceil(np.clip(y, -1, height + 1) - 0.5).clip(0, height).astype(int) for y in (upper[:, 1], lower[:, 1])
    )
    counts = last - first  # rows whose centre lies in [upper, lower)
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (rows + 0.5 - upper[edge, 1]) / (lower[edge, 1] - upper[edge, 1])
    x = upper[edge, 0] * (1 - share) + lower[edge, 0] * share
    return rows, np.ceil(np.clip(x, -1, width + 1) - 0.5).clip(0, width).astype(int)


def _read_runs(rle: dict[str, Any], width: int, height: int) -> Runs:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise DataError(f"its run lengths are of an image of [height, width] {size!s:.40}, expected {[height, width]}")
    lengths = _unpack(counts) if isinstance(counts, str) else _plain(counts)
    if lengths is None or lengths.min(initial=0) < 0 or lengths.sum() != height * width:
        raise DataError(f"its run lengths do not fill the image; expected {height * width} pixels in all")
    return Runs(lengths)


def _plain(counts: Any) -> np.ndarray | None:
    whole = isinstance(counts, list) and all(type(count) is int and 0 <= count < 2**40 for count in counts)
    return np.array(counts, dtype=np.int64) if whole and len(counts) < 2**22 else None


def _unpack(text: str) -> np.ndarray | None:
    """Five bits a character from 48 on, the lowest first, a sixth while more follow; the highest of all is the sign.

    From the fourth on, a number is the difference to the last but one. None: it is no such text.
    """
    codes = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    is_last = codes & 32 == 0
    starts = np.append(0, np.flatnonzero(is_last)[:-1] + 1)
    sizes = np.diff(np.append(starts, len(codes)))
    if sizes.max() > _LONGEST_GROUP:
        return None
    place = np.arange(len(codes)) - np.repeat(starts, sizes)
    numbers = np.add.reduceat((codes & 31) << 5 * place, starts)
    numbers -= np.where(codes[is_last] & 16, 1 << 5 * sizes, 0)
    return _summed(numbers)


def _summed(numbers: np.ndarray) -> np.ndarray:
    lengths = numbers.copy()
    for first in (1, 2):
        lengths[first::2] = np.cumsum(numbers[first::2])
    return lengths
