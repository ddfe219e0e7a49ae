"""From what an annotation file says to checked `ImageRecord`s: the one place where boxes and image frames are judged.

Readers only parse; they hand over entries as written. Here, for every format alike:

- a box that is not finite, has no area, is inverted or lies outside the image is left out; one that reaches over the
  border is clipped; all are reported, but for the last hundredths of a pixel, which are the rounding of the file's
  decimals;
- the size that the annotation states tells in which frame boxes are drawn. If it is that of the picture as stored, an
  EXIF orientation is not applied; otherwise it is, as labelling tools and browsers do. Both are reported.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from hardmine.data.images import ImageHeader, read_header
from hardmine.data.problems import Problem, ProblemLog
from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.errors import DataError

__all__ = ["ImageEntry", "ObjectEntry", "Source", "SplitEntries", "as_number", "build_dataset", "build_records"]

_ROUNDING_PX = 0.05


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object as written; the box is xyxy in the entry's own unit, not yet checked."""

    record: str
    box: tuple[float, float, float, float]
    category_id: int
    is_crowd: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image as written; `file` exists or is reported missing, `size` is what the annotation states of it."""

    image_id: int
    file: Path
    source: Path
    record: str
    size: tuple[int, int] | None = None  # width, height
    objects: list[ObjectEntry] = field(default_factory=list)
    is_normalized: bool = False  # boxes are fractions of the image's sides


@dataclass(frozen=True, slots=True)
class SplitEntries:
    """One split as written: `categories` maps the file's own ids to names, in the order of the labels."""

    categories: dict[int, str]
    images: list[ImageEntry]
    problems: list[Problem]


class Source(Protocol):
    """A data set that was recognised but not read yet."""

    @property
    def format(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def default_split(self) -> str | None: ...  # the split that the path itself names

    def read(self, split: str) -> SplitEntries: ...


def as_number(value: object) -> float | None:
    """The value as a float if it is a JSON number, whatever its size; None for anything else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def build_dataset(source: Source, split: str, classes: Sequence[str] | None = None) -> DetectionDataset:
    """Reads a split and checks it. With `classes`, labels follow that order; others are reported and left out."""
    entries = source.read(split)
    categories = entries.categories if classes is None else _select(entries.categories, classes, source.path)
    records, problems = build_records(entries, categories)
    name = source.path.stem if source.path.is_file() else source.path.resolve().name
    return DetectionDataset(name, split, tuple(categories.values()), tuple(categories), records, problems)


def build_records(
    entries: SplitEntries, categories: Mapping[int, str] | None = None
) -> tuple[list[ImageRecord], list[Problem]]:
    """The records that can be used, and every problem on the way to them; labels count through `categories`."""
    categories = entries.categories if categories is None else categories
    labels = {category_id: label for label, category_id in enumerate(categories)}
    problems = list(entries.problems)
    left_out: Counter[str] = Counter()
    records = []
    for entry in entries.images:
        report = ProblemLog(entry.source, problems)
        try:
            header = read_header(entry.file)
        except DataError as error:
            report.error(entry.record, f"the image is left out: {error}")
            continue
        known = _known_objects(entry, labels, entries.categories, left_out, report)
        records.append(_record(entry, header, known, labels, report))
    for name, count in left_out.items():
        ProblemLog(entries.images[0].source, problems).error(
            "", f"{count} objects of class {name!r} are left out: it is not one of the classes asked for"
        )
    return records, problems


def _select(categories: Mapping[int, str], classes: Sequence[str], path: Path) -> dict[int, str]:
    ids = {name: category_id for category_id, name in categories.items()}
    if len(set(classes)) < len(classes) or not set(classes) & set(ids):
        raise DataError(
            f"{path}: the classes asked for are {', '.join(classes)}; "
            f"expected distinct names, some of them among {', '.join(ids)}"
        )
    unused = max(categories, default=0) + 1
    return {ids.get(name, unused + place): name for place, name in enumerate(classes)}


def _known_objects(
    entry: ImageEntry,
    labels: Mapping[int, int],
    categories: Mapping[int, str],
    left_out: Counter[str],
    report: ProblemLog,
) -> list[ObjectEntry]:
    known = []
    for item in entry.objects:
        if item.category_id in labels:
            known.append(item)
        elif item.category_id in categories:
            left_out[categories[item.category_id]] += 1
        else:
            ids = list(categories)
            expected = f"{ids[0]} to {ids[-1]}" if len(ids) > 8 else ", ".join(map(str, ids))
            report.error(item.record, f"left out: class id {item.category_id} is unknown, expected one of {expected}")
    return known


def _record(
    entry: ImageEntry, header: ImageHeader, objects: list[ObjectEntry], labels: Mapping[int, int], report: ProblemLog
) -> ImageRecord:
    (width, height), orientation = _frame(entry, header, report)
    boxes = np.array([item.box for item in objects], dtype=np.float64).reshape(-1, 4)
    if entry.is_normalized:
        boxes *= (width, height, width, height)
    clipped, is_kept, is_changed = _check_boxes(boxes, (width, height), objects, report)
    own = np.array([item.area or np.nan for item in objects], dtype=np.float64)
    areas = np.where((own > 0) & np.isfinite(own) & ~is_changed, own, np.prod(clipped[:, 2:] - clipped[:, :2], axis=1))
    return ImageRecord(
        image_id=entry.image_id,
        file=entry.file,
        width=width,
        height=height,
        boxes=clipped[is_kept],
        labels=np.array([labels[item.category_id] for item in objects], dtype=np.int64)[is_kept],
        is_crowd=np.array([item.is_crowd for item in objects], dtype=bool)[is_kept],
        areas=areas[is_kept].astype(np.float32),
        orientation=orientation,
    )


def _frame(entry: ImageEntry, header: ImageHeader, report: ProblemLog) -> tuple[tuple[int, int], int]:
    """Size of the image as it is to be loaded, and the EXIF orientation to apply."""
    stored, shown = (header.width, header.height), header.shown_size
    if header.orientation != 1 and entry.size == stored != shown:
        report.warning(
            entry.record,
            f"{entry.file.name} has EXIF orientation {header.orientation}, which is not applied: the annotation's size "
            f"{_size(stored)} is that of the picture as stored; turn the file itself to be sure",
        )
        return stored, 1
    if header.orientation != 1:
        report.warning(
            entry.record,
            f"{entry.file.name} is turned by its EXIF orientation {header.orientation}, and boxes are taken "
            "as drawn on the turned picture; turn the file itself to be sure",
        )
    if entry.size not in (None, shown):
        report.error(
            entry.record,
            f"{entry.file.name} is {_size(shown)}, the annotation says {_size(entry.size)}: boxes are taken as "
            "pixels of the image; correct the size, or the boxes if they belong to a resized image",
        )
    return shown, header.orientation


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _check_boxes(
    written: np.ndarray, size: tuple[int, int], objects: list[ObjectEntry], report: ProblemLog
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clipped boxes (n, 4) float32, which of them to keep (n,), and which were clipped visibly (n,)."""
    is_finite = np.all(np.isfinite(written), axis=-1, keepdims=True)  # (n, 1)
    boxes = np.where(is_finite, written, 0)
    clipped = np.clip(boxes, 0, (*size, *size)).astype(np.float32)
    faults = (  # the first that holds is reported
        (~is_finite[:, 0], "is not finite; correct the number"),
        (~_has_area(boxes.astype(np.float32)), "is inverted or has no area; expected x1 < x2, y1 < y2"),
        (~_has_area(clipped), f"lies outside the image of {_size(size)}; correct or remove it"),
    )
    is_bad = np.any([fault for fault, _ in faults], axis=0)
    is_changed = np.any(np.abs(clipped - boxes) > _ROUNDING_PX, axis=-1)
    for place in np.flatnonzero(is_bad):
        message = next(message for fault, message in faults if fault[place])
        report.error(objects[place].record, f"left out: {_corners(objects[place])} {message}")
    for place in np.flatnonzero(is_changed & ~is_bad):
        message = f"clipped: {_corners(objects[place])} reaches over the border of the image of {_size(size)}"
        report.warning(objects[place].record, message)
    return clipped, ~is_bad, is_changed


def _has_area(boxes: np.ndarray) -> np.ndarray:
    return np.all(boxes[:, 2:] > boxes[:, :2], axis=-1)


def _corners(item: ObjectEntry) -> str:
    return f"box ({', '.join(f'{value:g}' for value in item.box)})"
