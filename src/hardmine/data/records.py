"""A detection data set, whatever format it came from.

    file (COCO, VOC, YOLO) -> entries -> ImageRecord, one per image -> DetectionDataset -> (image, target)

Labels are 0..C-1; `category_ids[label]` is the file's own number for the class, so that predictions go back to the
file's numbering. Crowd regions (COCO) and difficult objects (VOC) are kept and marked: they are neither object nor
background. Nor is the place of an object that could not be read: something is there, and nobody knows what.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardmine.data.identity import ImageName, ImageNames, as_key, as_text, common_folder, names_below
from hardmine.data.images import load_rgb
from hardmine.data.problems import Problem
from hardmine.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset
else:  # a loader asks for no more than the two methods; torch is imported where the first image becomes a tensor
    Dataset = object

__all__ = ["DetectionDataset", "ImageRecord", "with_crowds"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image and what is drawn on it, checked: every box is finite, inside the image and has an area."""

    image_id: int  # unique in the data set, and within 63 bits
    file: Path | None  # None for an image that is generated
    width: int  # of the image as loaded, so after `orientation` is applied
    height: int
    boxes: np.ndarray  # (n, 4) float32, xyxy in pixels
    labels: np.ndarray  # (n,) int64, 0..C-1
    is_crowd: np.ndarray  # (n,) bool, neither object nor background
    areas: np.ndarray | None = None  # (n,) float32, the file's own (COCO: of the mask); None: those of the boxes
    weights: np.ndarray | None = None  # (n,) float32, how much each object counts in training; None: 1 each
    missed: np.ndarray | None = None  # (n,) bool, what mining found missed and is to be re-assigned; None: nothing
    orientation: int = 1  # the EXIF orientation to apply when the file is decoded
    unreadable: np.ndarray | None = None  # (m, 4) float32, xyxy: where objects are that could not be read; None: none
    is_complete: bool = True  # False: an object could not be read, and nobody knows where it is
    duplicate_of: np.ndarray | None = None  # (d,) int64, the objects that are labelled again, once a time; None: none
    own_id: int | str | None = None  # the data set's own, where `image_id` could not be that
    aliases: tuple[int | str, ...] = ()  # further ids by which the data set calls this image
    is_numbered: bool = False  # the data set has no ids: `image_id` is the place in a list, and moves with it
    fields: Mapping[str, Any] | None = None  # of the file's own words on the image, the one that was asked for

    @property
    def regions(self) -> np.ndarray:
        """(m, 4) xyxy, neither object nor background of any class: where something is that could not be read."""
        if not self.is_complete:
            return np.array([[0, 0, self.width, self.height]], dtype=np.float32)
        return np.zeros((0, 4), dtype=np.float32) if self.unreadable is None else self.unreadable

    @property
    def ids(self) -> tuple[int | str, ...]:
        """What the data set itself calls the image, the first of several first; nothing where it has no ids."""
        if self.is_numbered:
            return ()
        return (self.image_id if self.own_id is None else self.own_id, *self.aliases)

    def object_areas(self) -> np.ndarray:
        """(n,) areas in square pixels by which COCO calls an object small, medium or large."""
        if self.areas is not None:
            return self.areas
        return np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)


class DetectionDataset(Dataset):
    """One split of a data set, decoded image by image; `problems` holds what was left out or changed while reading it.

    Raises: DataError: no image, two images with the same id, or no class.
    """

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        category_ids: Sequence[int],
        records: Sequence[ImageRecord],
        problems: Sequence[Problem] = (),
        own_category_ids: Sequence[int | str] | None = None,
    ):
        self.name, self.split = name, split
        self.classes, self.category_ids = tuple(map(as_text, classes)), tuple(category_ids)
        self.own_category_ids = self.category_ids if own_category_ids is None else tuple(own_category_ids)
        self.records, self.problems = tuple(records), tuple(problems)
        self._refuse_unusable()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> "tuple[Tensor, dict[str, Any]]":
        """Image (3, H, W) uint8 and its target: boxes (n, 4) float32, labels (n,) int64, iscrowd (n,) bool, image_id.

        Where the objects have weights, also these, (n,) float32, where some are to be re-assigned, missed (n,) bool,
        and where there are, proposals (P, 4) float32. Places that could not be read are crowds, the last.
        Raises: DataError: the image file cannot be decoded.
        """
        import torch

        record = with_crowds(self.records[index], self.records[index].regions)
        arrays = {"boxes": record.boxes, "labels": record.labels, "iscrowd": record.is_crowd, "weights": record.weights}
        arrays["missed"] = record.missed
        target = {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if array is not None}
        if (proposals := self.proposals(index)) is not None:
            target["proposals"] = torch.from_numpy(proposals)
        image = torch.from_numpy(self.pixels(index)).permute(2, 0, 1).contiguous()
        return image, target | {"image_id": record.image_id}

    def pixels(self, index: int) -> np.ndarray:
        """The image as (H, W, 3) uint8. Raises: DataError: the file cannot be decoded, or changed since it was read."""
        record = self.records[index]
        if record.file is None:
            raise DataError(f"{self.name}: image id {record.image_id} has no file; expected one to decode")
        pixels = load_rgb(record.file, record.orientation)
        if pixels.shape[:2] != (record.height, record.width):
            raise DataError(
                f"{record.file} is {pixels.shape[1]}x{pixels.shape[0]}, expected {record.width}x{record.height} as "
                "when the data set was opened; leave its files alone while it is in use"
            )
        return pixels

    def proposals(self, index: int) -> np.ndarray | None:
        """(P, 4) float32, boxes to look for objects in, xyxy in pixels, the best first; None: there are none."""
        return None

    @cached_property
    def folder(self) -> Path | None:
        """The innermost folder that holds all images; None where they are generated."""
        return common_folder(record.file for record in self.records)

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        """Of each image, relative to `folder`, with slashes; empty where it is generated."""
        return names_below(self.folder, (record.file for record in self.records))

    def called(self, place: int) -> dict[str, Any]:
        """How others are to call an image: image_id, and file_name where the data set has no ids of its own."""
        record = self.records[place]
        if record.ids or self.folder is None:
            return {"image_id": record.ids[0] if record.ids else record.image_id}
        # the folder of the images goes before the name, to tell it from the same name in a folder below
        return {"image_id": record.image_id, "file_name": f"{self.folder.name}/{self.file_names[place]}"}

    def hash_of_images(self) -> str:
        """Tells these images from others by number and name, in this order."""
        named = zip((record.image_id for record in self.records), self.file_names, strict=True)
        return sha256(json.dumps(list(named)).encode()).hexdigest()

    @cached_property
    def image_names(self) -> ImageNames:
        """Finds the images by what others call them."""
        above = "" if self.folder is None else f"{self.folder.as_posix()}/"
        called = (
            ImageName(
                tuple(key for own in record.ids if (key := as_key(own)) is not None),
                f"{above}{name}",
                inner=name.count("/") + 1,
            )
            for record, name in zip(self.records, self.file_names, strict=True)
        )
        return ImageNames(called, f"{self.name}, split {self.split!r}")

    def coco_ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        """The split in COCO's json form, with the file's own category ids, as COCO evaluation takes it."""
        annotations = [annotation for record in self.records for annotation in self._coco_annotations(record)]
        return {
            "images": [
                {"id": r.image_id, "file_name": str(r.file or ""), "width": r.width, "height": r.height}
                for r in self.records
            ],
            "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
            "categories": [
                {"id": category_id, "name": name}
                for category_id, name in zip(self.category_ids, self.classes, strict=True)
            ],
        }

    def _coco_annotations(self, record: ImageRecord) -> list[dict[str, Any]]:
        for label in range(len(self.classes)):  # COCO's crowds are of a class
            record = with_crowds(record, record.regions, label) if len(record.regions) else record
        corners = record.boxes.astype(float)
        sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        columns = zip(sides.tolist(), record.labels, record.is_crowd, record.object_areas().tolist(), strict=True)
        return [
            {
                "image_id": record.image_id,
                "category_id": self.category_ids[label],
                "bbox": box,
                "area": area,
                "iscrowd": int(is_crowd),
            }
            for box, label, is_crowd, area in columns
        ]

    def _refuse_unusable(self) -> None:
        where = f"{self.name}, split {self.split!r}"
        if not self.classes or len(self.classes) != len(self.category_ids):
            raise DataError(
                f"{where}: {len(self.classes)} classes, {len(self.category_ids)} ids; expected as many, and one"
            )
        if not self.records:
            by_severity = sorted(self.problems, key=lambda problem: problem.severity)
            first = f", first of {len(self.problems)} problems: {by_severity[0]}" if self.problems else ""
            raise DataError(f"{where}: no usable image, expected at least one{first}")
        if len({record.image_id for record in self.records}) < len(self.records):
            raise DataError(f"{where}: two images have the same id; give each its own")


def with_crowds(record: ImageRecord, boxes: np.ndarray, label: int = 0) -> ImageRecord:
    """The record with crowds of a class at these places (m, 4), after its objects: neither object nor background."""
    num = len(boxes)
    if not num:
        return record
    areas = np.concatenate([record.object_areas(), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)])
    weights = None if record.weights is None else np.concatenate([record.weights, np.ones(num, dtype=np.float32)])
    missed = None if record.missed is None else np.concatenate([record.missed, np.zeros(num, dtype=bool)])
    return replace(
        record,
        boxes=np.concatenate([record.boxes, boxes.astype(np.float32)]),
        labels=np.concatenate([record.labels, np.full(num, label, dtype=record.labels.dtype)]),
        is_crowd=np.concatenate([record.is_crowd, np.ones(num, dtype=bool)]),
        areas=areas.astype(np.float32),
        weights=weights,
        missed=missed,
    )
