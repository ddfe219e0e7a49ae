"""What a line of a YOLO label file is: a box, and what tools write behind it or instead of it.

    5 numbers                class, then centre and sides of the box as fractions
    6, 7                     and a confidence, or a track's id; or both
    5 + k d                  and k keypoints of d numbers, as data.yaml's kpt_shape says; or as the numbers show
    7, 9, 11, ...            class, then the corners of a polygon (9: also an oriented box), with or without confidence

Lines with as many numbers are of one kind throughout a data set, so all of them are looked at before any is read. What
kpt_shape does not declare is a guess, and reported once.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardmine.data.entries import ImageEntry, ObjectEntry
from hardmine.data.problems import ProblemLog
from hardmine.errors import DataError
from hardmine.files.reading import read_text

__all__ = ["LabelLine", "Layout", "add_objects", "choose_layouts", "has_labels", "label_lines"]

_BOX = 4
_ROUNDING = 0.01
"""By how much of a side a box that was cut to its image may reach over it, in whatever decimals."""
_MOST = 0.9
"""The share of lines that must look like a layout for all of them to be of it; some lines are always odd."""
_MOST_WIDTHS = 3
"""How many numbers of fields a data set of poses has; one of polygons has many."""
_FEWEST = 10
"""Lines by which to tell poses of two numbers a point from polygons."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class LabelLine:
    """A line by its number in the file. category: None if the first field is no whole number.

    numbers: the fields behind it; empty if one of them is no number.  text: as written, at most 60 characters.
    """

    number: int
    text: str
    num_fields: int
    category: int | None
    numbers: tuple[float, ...]

    @property
    def record(self) -> str:
        return f"line {self.number}"


@dataclass(frozen=True, slots=True)
class Layout:
    """What lines with a number of fields are. num_corners: of the polygon; 0: they begin with a box.

    said: how it is reported; empty: nothing to report.  is_place_only: something is there, but its box is not known.
    """

    said: str = ""
    num_corners: int = 0
    is_place_only: bool = False

    def box(self, numbers: Sequence[float]) -> Box:
        """Corners of the box, or of that around the polygon, as fractions."""
        if self.num_corners:
            xs, ys = numbers[: 2 * self.num_corners : 2], numbers[1 : 2 * self.num_corners : 2]
            return min(xs), min(ys), max(xs), max(ys)
        x, y, width, height = numbers[:_BOX]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def label_lines(file: Path) -> list[LabelLine]:
    """The lines of a label file that are not blank.

    Raises: DataError: it cannot be read as text.
    """
    numbered = enumerate(read_text(file).splitlines(), start=1)
    return [_parse(number, text) for number, text in numbered if text.strip()]


def _parse(number: int, text: str) -> LabelLine:
    fields = text.split()
    numbers = [_number(field) for field in fields]
    category = numbers[0] if numbers[0] is not None and numbers[0].is_integer() else None
    behind = tuple(value for value in numbers[1:] if value is not None)
    is_whole = len(behind) == len(fields) - 1
    return LabelLine(
        number, text.strip()[:60], len(fields), None if category is None else int(category), behind if is_whole else ()
    )


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


def has_labels(file: Path) -> bool:
    """Whether the file begins like a label file does, and not like any other text."""
    try:
        first = next(iter(label_lines(file)), None)
    except DataError:
        return False
    return first is not None and first.category is not None and len(first.numbers) >= _BOX


def choose_layouts(lines: Iterable[LabelLine], keypoints: tuple[int, int] | None) -> dict[int, Layout]:
    """The layout of lines by their number of fields, as all of them together show it; none for what fits nothing."""
    rows: dict[int, list[tuple[float, ...]]] = {}
    for line in lines:
        if len(line.numbers) >= _BOX:
            rows.setdefault(line.num_fields, []).append(line.numbers)
    may_be_pose = sum(fields > _BOX + 1 for fields in rows) <= _MOST_WIDTHS
    chosen = {fields: _choose(_finite(np.array(of)), keypoints, may_be_pose) for fields, of in rows.items()}
    return {fields: layout for fields, layout in chosen.items() if layout is not None}


def _finite(rows: np.ndarray) -> np.ndarray:
    """The rows that are finite, if any is."""
    is_finite = np.isfinite(rows).all(axis=1)
    return rows[is_finite] if is_finite.any() else rows


def _choose(rows: np.ndarray, keypoints: tuple[int, int] | None, may_be_pose: bool) -> Layout | None:
    """Of the numbers behind the class, (lines, n)."""
    num = rows.shape[1]
    if num == _BOX:
        return Layout()
    if keypoints is not None and 0 <= num - _BOX - math.prod(keypoints) <= 2:
        return Layout(_CONFIDENCE if num - _BOX > math.prod(keypoints) else "")
    if num == _BOX + 1:
        return _box_and_one(rows)
    if num == _BOX + 2 and _ends_in_tracks(rows) and _are_shares(rows[:, -2]):
        return Layout(f"{_CONFIDENCE}; the track's id behind it is left out")
    return (_undeclared_pose(rows) if may_be_pose else None) or _polygon(rows)


_CONFIDENCE = "a confidence stands behind the box, as in predictions: make sure that these are labels"


def _box_and_one(rows: np.ndarray) -> Layout:
    if _are_shares(rows[:, -1]):
        return Layout(_CONFIDENCE)
    if _are_ids(rows[:, -1]):
        return Layout("the last number is taken as a track's id and left out")
    return Layout("the last number is neither a confidence nor an id; an angle?", is_place_only=True)


def _ends_in_tracks(rows: np.ndarray) -> bool:
    """Whether the last numbers are ids. Polygons end so only where all of them touch the picture's border."""
    return _are_ids(rows[:, -1]) and (bool(np.any(rows[:, -1] > 1)) or _mostly(_are_boxes(rows)))


def _undeclared_pose(rows: np.ndarray) -> Layout | None:
    """If the points behind a box in the picture lie in it, and what marks them as seen or not is 0, 1 or 2.

    Where nothing marks them, a small polygon may look like that: then also the box's sides must be none of its corners.
    """
    for dims in (3, 2):
        points = rows[:, _BOX:]
        if points.shape[1] % dims:
            continue
        points = points.reshape(len(rows), -1, dims)  # (lines, points, numbers each)
        is_marked = dims == 3 and bool(np.isin(points[..., 2], (0, 1, 2)).all())
        is_told = is_marked or (dims == 2 and len(rows) >= _FEWEST and not _mostly(_are_corners(rows), 0.8))
        is_hidden = np.all(points[..., :2] == 0, axis=-1)  # a point that is not seen is written as 0 0
        inside = _are_boxes(rows) & np.all(_are_in(points[..., :2], rows) | is_hidden, axis=1)
        if is_told and _mostly(inside):
            return Layout(
                f"taken as a box and {points.shape[1]} keypoints of {dims} numbers; declare kpt_shape to be sure"
            )
    return None


def _are_in(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(lines, points): whether the points (lines, points, 2) lie in the boxes (lines, 4 or more), given by centre."""
    return np.all(np.abs(points - boxes[:, None, :2]) <= boxes[:, None, 2:4] / 2 + _ROUNDING, axis=-1)


def _are_corners(rows: np.ndarray) -> np.ndarray:
    """(lines,) whether the third and fourth number are a point as near to the other corners as these to each other."""
    points = rows[:, : rows.shape[1] // 2 * 2].reshape(len(rows), -1, 2)
    others = np.delete(points, 1, axis=1)
    low, high = others.min(axis=1), others.max(axis=1)
    reach = (high - low).max(axis=-1, keepdims=True)
    return np.all((points[:, 1] >= low - reach) & (points[:, 1] <= high + reach), axis=-1)


def _polygon(rows: np.ndarray) -> Layout | None:
    num = rows.shape[1]
    ends_in_track = num % 2 == 0 and num >= 8 and _are_ids(rows[:, -1]) and bool(np.any(rows[:, -1] > 1))
    if ends_in_track and _are_shares(rows[:, -2]):
        return Layout(f"polygons, the boxes around them are used; {_CONFIDENCE}, and a track's id", num // 2 - 1)
    if num % 2 == 0:
        kind = "oriented boxes or polygons" if num == 8 else "polygons of segmentation"
        return Layout(f"{kind}; the bounding boxes around them are used", num // 2)
    if num >= 7 and _are_shares(rows[:, -1]):
        return Layout(f"polygons, the bounding boxes around them are used; {_CONFIDENCE}", num // 2)
    return None


def _mostly(holds: np.ndarray, share: float = _MOST) -> bool:
    return bool(holds.mean() >= share)


def _are_boxes(rows: np.ndarray) -> np.ndarray:
    """(lines,) whether the first four numbers are centre and sides of a box in the picture."""
    centre, sides = rows[:, :2], rows[:, 2:_BOX]
    is_in = (centre - sides / 2 >= -_ROUNDING) & (centre + sides / 2 <= 1 + _ROUNDING)
    return np.all(is_in & (sides > 0), axis=1)


def _are_shares(values: np.ndarray) -> bool:
    return bool(np.all((values >= 0) & (values <= 1 + _ROUNDING)))


def _are_ids(values: np.ndarray) -> bool:
    return bool(np.all((values >= 0) & (values == np.floor(values)) & np.isfinite(values)))


def add_objects(
    lines: Iterable[LabelLine], layouts: Mapping[int, Layout], entry: ImageEntry, report: ProblemLog
) -> None:
    """The objects of a label file; what cannot be read is reported, and stays with its place where that is known."""
    for line in lines:
        layout = layouts.get(line.num_fields)
        faults = list(_faults(line, layout))
        if faults:
            report.error(line.record, f"left out: {faults[0]}")
        box = _place(line) if layout is None or layout.is_place_only or not line.numbers else layout.box(line.numbers)
        if box is None:
            entry.lost.append(line.record)
        else:
            entry.objects.append(ObjectEntry(line.record, box, None if faults else line.category))


def _faults(line: LabelLine, layout: Layout | None) -> Iterator[str]:
    first = line.text.split()[0]
    if line.num_fields > _BOX and (not line.numbers or _number(first) is None):
        yield f"{line.text!r} is not all numbers; correct it"
    elif layout is None:
        yield f"{line.num_fields} fields, expected 5 (class, x, y, width, height), a polygon's or a pose's"
    elif line.category is None:
        yield f"class {first} is not an integer; correct it"
    elif layout.is_place_only:
        yield f"{line.num_fields} fields, of which {layout.said}"


def _place(line: LabelLine) -> Box | None:
    """Where the object is if its first numbers are a box of the picture."""
    rows = np.array([line.numbers]) if len(line.numbers) >= _BOX else np.zeros((1, _BOX))
    return Layout().box(line.numbers) if _are_boxes(rows)[0] else None
