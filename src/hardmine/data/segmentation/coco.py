"""COCO json whose annotations have a `segmentation`: objects painted into masks.

Classes are `background`, and the categories in the order of their ids; a category that is called background is that.
What no object covers is background; where the classes asked for have none of that name, it is ignored. Crowds are
ignored, and so is the box of an object whose shape cannot be read. `masks.py` says in which order objects are painted.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from hardmine.core.pixels import IGNORED
from hardmine.data.coco import CocoSource, find_coco
from hardmine.data.entries import Id, ImageEntry, ObjectEntry, Reading, frame_of, numbers_of
from hardmine.data.images import read_header
from hardmine.data.problems import ProblemLog
from hardmine.data.segmentation.masks import PaintedMask, PaintedObject
from hardmine.data.segmentation.records import SegmentationRecord
from hardmine.data.segmentation.shapes import Box, read_shape
from hardmine.data.segmentation.sources import Asked
from hardmine.errors import DataError

__all__ = ["CocoMasks", "find_coco_masks"]

BACKGROUND_NAME = "background"


def find_coco_masks(path: Path, asked: Asked) -> "CocoMasks | None":
    """The data set of a json file, with its family, or of a folder; None if there is none."""
    source = find_coco(path)
    return None if source is None else CocoMasks(source, asked)


class CocoMasks:
    """COCO files by split, whose shapes become masks."""

    format = "COCO shapes"

    def __init__(self, source: CocoSource, asked: Asked):
        self._source, self._asked = source, asked
        self.path, self.splits, self.default_split = source.path, source.splits, source.default_split

    @cached_property
    def _categories(self) -> dict[Id, str]:
        return self._source.read(self.splits[0], Reading(need_pictures=False)).categories

    @property
    def classes(self) -> tuple[str, ...]:
        names = tuple(self._categories.values())
        asked = self._asked.classes
        if asked is None:
            return names if BACKGROUND_NAME in names else (BACKGROUND_NAME, *names)
        if not isinstance(asked, Sequence) or not set(asked) & set(names):
            raise DataError(
                f"{self.path}: the classes asked for are {asked}; expected names, some among {', '.join(names)}"
            )
        return tuple(asked)

    def read(self, split: str, report_to: ProblemLog) -> list[SegmentationRecord]:
        """The record of every image that can be used.

        Raises: DataError: not a COCO file, or one without any shape.
        """
        reading = Reading(self._asked.images, keep_shapes=True)
        entries = self._source.read(split, reading)
        report_to.problems.extend(entries.problems)
        objects = [one for entry in entries.images for one in entry.objects]
        if objects and all(one.shape is None for one in objects):
            raise DataError(
                f"{self.path}, split {split!r}: no annotation has a segmentation, only boxes; expected polygons or run "
                "lengths, or folders of masks beside the images"
            )
        painter = _Painter({own: self._label_of(name) for own, name in entries.categories.items()}, self._ground())
        numbers = numbers_of([entry.image_id for entry in entries.images])
        found = [
            painter.record(entry, number, report_to.within(entry.source))
            for entry, number in zip(entries.images, numbers, strict=True)
        ]
        for own, count in painter.left_out.items():
            name = entries.categories[own]
            report_to.error(
                "", f"{count} objects of class {name!r} are left out: it is not one of the classes asked for"
            )
        return [record for record in found if record is not None]

    def _label_of(self, name: str) -> int | None:
        return self.classes.index(name) if name in self.classes else None

    def _ground(self) -> int:
        return self.classes.index(BACKGROUND_NAME) if BACKGROUND_NAME in self.classes else IGNORED


class _Painter:
    """Makes records of entries. labels: by category id; None: the class was not asked for.  left_out: such objects."""

    def __init__(self, labels: dict[Id, int | None], ground: int):
        self._labels, self._ground = labels, ground
        self.left_out: Counter[Id] = Counter()

    def record(self, entry: ImageEntry, number: int, report: ProblemLog) -> SegmentationRecord | None:
        """None: the image cannot be used, which was reported."""
        try:
            header = read_header(entry.file)
        except DataError as error:
            report.error(entry.record, f"the image is left out: {error}")
            return None
        if entry.lost:
            report.error(
                entry.record, f"the image is left out: nobody knows where {entry.lost[0]} is; correct it, or remove it"
            )
            return None
        (width, height), orientation = frame_of(entry, header, report)
        painted = [found for one in entry.objects if (found := self._object(one, width, height, report)) is not None]
        mask = PaintedMask(tuple(painted), width, height, self._ground)
        own = None if number == entry.image_id else entry.image_id
        return SegmentationRecord(number, entry.file, mask, width, height, orientation, own)

    def _object(self, one: ObjectEntry, width: int, height: int, report: ProblemLog) -> PaintedObject | None:
        if one.category_id in self._labels and self._labels[one.category_id] is None:
            self.left_out[one.category_id] += 1
            return None
        label = self._labels.get(one.category_id) if one.category_id is not None else None
        try:
            shape = read_shape(one.shape, width, height)
        except DataError as error:
            report.error(one.record, f"its box is ignored: {error}")
            return PaintedObject(IGNORED, Box(one.box))
        if label is None:
            report.error(
                one.record, f"its place is ignored: class id {one.category_id} is unknown; add it to the categories"
            )
        return PaintedObject(IGNORED if label is None or one.is_crowd else label, shape)
