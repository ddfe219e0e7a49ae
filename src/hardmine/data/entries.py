"""From what an annotation file says to checked `ImageRecord`s: the one place where boxes and image frames are judged.

Readers only parse; they hand over entries as written. Here, for every format alike:

- a box that is not finite, has no area, is inverted or lies outside the image is left out; one that reaches over the
  border is clipped; all are reported, but for the last hundredths of a pixel, which are the rounding of the file's
  decimals;
- what is left out does not become background: where its place is known, that is a region of which nothing is learnt or
  judged; where it is not, the whole image is incomplete;
- a label that is there twice, with the same class and box, counts once;
- the size that the annotation states, and the boxes, tell in which frame these are drawn. If it is that of the picture
  as stored, an EXIF orientation is not applied; otherwise it is, as labelling tools and browsers do. Both are reported;
- ids are opaque: those that are not whole numbers within 63 bits get numbers beside them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hardmine.data.images import ImageHeader, read_header
from hardmine.data.paths import is_file
from hardmine.data.problems import Problem, ProblemLog
from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.errors import DataError

__all__ = [
    "ImageEntry",
    "ObjectEntry",
    "Reading",
    "Recognised",
    "Source",
    "SplitEntries",
    "as_number",
    "build_dataset",
    "build_records",
    "frame_of",
    "numbers_of",
]

_ROUNDING_PX = 0.05
_LARGEST_ID = 2**63 - 1

Id = int | str


@dataclass(frozen=True, slots=True)
class Reading:
    """How a data set is to be read.

    images: the folder of the images, where they do not lie beside the annotations.
    need_pictures: False: an image whose size the annotations state need not be there; where it is, it tells the frame.
    allow_unlabelled: a split without any label file is meant to be all background.
    image_field: a field of the images' entries to keep, where the format has any.
    keep_shapes: keep the polygons and masks of objects, where the format has any.
    """

    images: Path | None = None
    need_pictures: bool = True
    allow_unlabelled: bool = False
    image_field: str | None = None
    keep_shapes: bool = False


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object as written; the box is xyxy in the entry's own unit, not yet checked. No class: it is unreadable."""

    record: str
    box: tuple[float, float, float, float]
    category_id: Id | None
    is_crowd: bool = False
    area: float | None = None
    shape: Any = None  # its polygons or mask as written, where these were asked for


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image as written; `file` exists or is reported missing, `size` is what the annotation states of it."""

    image_id: Id
    file: Path
    source: Path
    record: str
    size: tuple[int, int] | None = None  # width, height
    objects: list[ObjectEntry] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # the records of objects whose box could not be read
    aliases: list[Id] = field(default_factory=list)  # further ids of the image
    is_normalized: bool = False  # boxes are fractions of the image's sides
    is_numbered: bool = False  # the format has no ids: `image_id` is a place in a list
    fields: Mapping[str, Any] | None = None  # of the file's own, the one that was asked for


@dataclass(frozen=True, slots=True)
class SplitEntries:
    """One split as written: `categories` maps the file's own ids to names, in the order of the labels."""

    categories: dict[Id, str]
    images: list[ImageEntry]
    problems: list[Problem]


class Recognised(Protocol):
    """A data set of which is known what and where it is."""

    @property
    def format(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def default_split(self) -> str | None: ...  # the split that the path itself names


class Source(Recognised, Protocol):
    """A data set that was recognised but not read yet."""

    @property
    def takes_images(self) -> bool: ...  # whether its images may lie anywhere else

    def read(self, split: str, reading: Reading) -> SplitEntries: ...


def as_number(value: object) -> float | None:
    """The value as a float if it is a JSON number, whatever its size; None for anything else, truth values included."""
    if type(value) is float:  # nearly always
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def build_dataset(
    source: Source, split: str, classes: Sequence[str] | None = None, reading: Reading | None = None
) -> DetectionDataset:
    """Reads a split and checks it. With `classes`, labels follow that order; others are reported and left out."""
    reading = reading or Reading()
    entries = source.read(split, reading)
    categories = entries.categories if classes is None else _select(entries.categories, classes, source.path)
    records, problems = build_records(entries, categories, reading)
    name = source.path.stem if source.path.is_file() else source.path.resolve().name
    numbers = numbers_of(categories)
    return DetectionDataset(name, split, tuple(categories.values()), numbers, records, problems, tuple(categories))


def build_records(
    entries: SplitEntries, categories: Mapping[Id, str] | None = None, reading: Reading | None = None
) -> tuple[list[ImageRecord], list[Problem]]:
    """The records that can be used, and every problem on the way to them; labels count through `categories`."""
    categories = entries.categories if categories is None else categories
    reading = reading or Reading()
    classes = _Classes(entries.categories, {own: label for label, own in enumerate(categories)})
    problems = list(entries.problems)
    records = []
    for entry, number in zip(entries.images, numbers_of([entry.image_id for entry in entries.images]), strict=True):
        report = ProblemLog(entry.source, problems)
        try:
            header = _header(entry, reading)
        except DataError as error:
            report.error(entry.record, f"the image is left out: {error}")
            continue
        records.append(_record(entry, number, header, classes, report))
    for name, count in classes.left_out.items():
        ProblemLog(entries.images[0].source, problems).error(
            "", f"{count} objects of class {name!r} are left out: it is not one of the classes asked for"
        )
    return records, problems


def numbers_of(ids: Iterable[Id]) -> list[int]:
    """The ids, if they are whole numbers that tables can hold; otherwise numbers from 1."""
    ids = list(ids)
    fit = all(isinstance(own, int) and abs(own) <= _LARGEST_ID for own in ids)
    return [own for own in ids if isinstance(own, int)] if fit else list(range(1, len(ids) + 1))


def _header(entry: ImageEntry, reading: Reading) -> ImageHeader:
    """What the picture says, or where it is neither there nor needed, the annotation.

    Raises: DataError: it is needed.
    """
    if entry.size is not None and not reading.need_pictures and not is_file(entry.file):
        return ImageHeader(*entry.size, orientation=1, mode="")
    return read_header(entry.file)


def _select(categories: Mapping[Id, str], classes: Sequence[str], path: Path) -> dict[Id, str]:
    ids = {name: category_id for category_id, name in categories.items()}
    if len(set(classes)) < len(classes) or not set(classes) & set(ids):
        raise DataError(
            f"{path}: the classes asked for are {', '.join(classes)}; "
            f"expected distinct names, some of them among {', '.join(ids)}"
        )
    unused = max((own for own in categories if isinstance(own, int)), default=0) + 1
    return {ids.get(name, unused + place): name for place, name in enumerate(classes)}


@dataclass(slots=True)
class _Classes:
    """names: of all ids that the file declares.  labels: of those that are asked for.  left_out: objects of others."""

    names: Mapping[Id, str]
    labels: Mapping[Id | None, int]
    left_out: Counter[str] = field(default_factory=Counter)

    def sort(self, entry: ImageEntry, report: ProblemLog) -> tuple[list[ObjectEntry], list[ObjectEntry]]:
        """The entry's objects with a known class, and those whose class cannot be read."""
        known, unreadable = [], []
        for item in entry.objects:
            if item.category_id in self.labels:
                known.append(item)
            elif item.category_id is None:  # which was reported when it was read
                unreadable.append(item)
            elif item.category_id in self.names:
                self.left_out[self.names[item.category_id]] += 1
            else:
                unreadable.append(item)
                report.error(item.record, f"left out: {self._unknown(item.category_id)}")
        return known, unreadable

    def _unknown(self, category_id: Id) -> str:
        ids = list(self.names)
        expected = f"{ids[0]} to {ids[-1]}" if len(ids) > 8 else ", ".join(map(str, ids))
        return f"class id {category_id} is unknown, expected one of {expected}"


def _record(entry: ImageEntry, number: int, header: ImageHeader, classes: _Classes, report: ProblemLog) -> ImageRecord:
    known, unreadable = classes.sort(entry, report)
    size, orientation = frame_of(entry, header, report)
    scale = (*size, *size) if entry.is_normalized else (1, 1, 1, 1)
    written = _boxes(known) * scale
    boxes, is_kept, is_changed = _check_boxes(written, size, known, report)
    places = _places(np.concatenate([written[~is_kept], _boxes(unreadable) * scale]), size)
    is_known = ~np.isnan(places).any(axis=1)
    rows = np.flatnonzero(is_kept)
    objects = _Objects([known[row] for row in rows], boxes[rows], is_changed[rows], classes.labels)
    first = objects.first_of_equals()
    objects.report_duplicates(first, report)
    is_first = first == np.arange(len(first))
    return ImageRecord(
        image_id=number,
        file=entry.file,
        width=size[0],
        height=size[1],
        boxes=objects.boxes[is_first],
        labels=objects.labels[is_first],
        is_crowd=objects.is_crowd[is_first],
        areas=objects.areas[is_first],
        orientation=orientation,
        unreadable=places[is_known].astype(np.float32),
        is_complete=bool(is_known.all()) and not entry.lost,
        duplicate_of=np.cumsum(is_first)[first[~is_first]] - 1,
        own_id=None if entry.is_numbered or number == entry.image_id else entry.image_id,
        aliases=tuple(entry.aliases),
        is_numbered=entry.is_numbered,
        fields=entry.fields,
    )


class _Objects:
    """The objects of an image that can be used. boxes: (n, 4), clipped.  is_changed: (n,) visibly, by the clipping."""

    def __init__(
        self, items: Sequence[ObjectEntry], boxes: np.ndarray, is_changed: np.ndarray, labels: Mapping[Id | None, int]
    ):
        self.items, self.boxes = items, boxes
        self.labels = np.array([labels[item.category_id] for item in items], dtype=np.int64)
        self.is_crowd = np.array([item.is_crowd for item in items], dtype=bool)
        own = np.array([item.area or np.nan for item in items], dtype=np.float64)
        is_own = (own > 0) & np.isfinite(own) & ~is_changed
        self.areas = np.where(is_own, own, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)).astype(np.float32)

    def first_of_equals(self) -> np.ndarray:
        """(n,) of each object the place of the first with the same class and box; crowds are each their own."""
        own_place = np.where(self.is_crowd, np.arange(1, len(self.boxes) + 1), 0)
        rows = zip(self.boxes.tolist(), self.labels.tolist(), own_place.tolist(), strict=True)
        first: dict[tuple[object, ...], int] = {}
        places = [first.setdefault((*box, label, own), place) for place, (box, label, own) in enumerate(rows)]
        return np.array(places, dtype=np.int64)

    def report_duplicates(self, first: np.ndarray, report: ProblemLog) -> None:
        for place in np.flatnonzero(first != np.arange(len(first))).tolist():
            again, record = self.items[place].record, self.items[first[place]].record
            report.warning(again, f"has the class and box of {record}: counts once; remove one")


def _boxes(objects: Sequence[ObjectEntry]) -> np.ndarray:
    return np.array([item.box for item in objects], dtype=np.float64).reshape(-1, 4)


def _places(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where in the image boxes (n, 4) lie, whichever corner came first; NaN where that is nowhere."""
    if not len(boxes):  # nearly always
        return boxes
    corners = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    places = np.clip(corners, 0, (*size, *size))
    return np.where(_has_area(places)[:, None], places, np.nan)


def frame_of(entry: ImageEntry, header: ImageHeader, report: ProblemLog) -> tuple[tuple[int, int], int]:
    """Size of the image as it is to be loaded, and the EXIF orientation to apply."""
    stored, shown = (header.width, header.height), header.shown_size
    if header.orientation != 1 and stored != shown and _drawn_as_stored(entry, stored, shown):
        report.warning(
            entry.record,
            f"{entry.file.name} has EXIF orientation {header.orientation}, which is not applied: the annotation's size "
            f"or boxes are those of the picture as stored, {_size(stored)}; turn the file itself to be sure",
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


def _drawn_as_stored(entry: ImageEntry, stored: tuple[int, int], shown: tuple[int, int]) -> bool:
    """Of the two frames the one that all boxes fit; where both or none do, the one whose size is stated."""
    boxes = np.zeros((0, 4)) if entry.is_normalized else _boxes(entry.objects)
    corners = np.where(np.isfinite(boxes), boxes, 0).reshape(-1, 2, 2).max(axis=(0, 1), initial=0)
    fits_stored, fits_shown = (bool(np.all(corners <= np.add(size, _ROUNDING_PX))) for size in (stored, shown))
    return fits_stored if fits_stored != fits_shown else entry.size == stored


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
