"""A segmentation data set: images, and of every pixel its class.

    folders of masks, COCO polygons, scenes -> SegmentationRecord, one per image -> SegmentationDataset -> (image, mask)

Labels are 0..C-1, and 255 (`IGNORED`) where nobody says which. There is no background beyond the classes: background
is a class as any other. Masks are decoded when they are asked for, and what is wrong with the pixels is said then.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hardmine.core.pixels import IGNORED
from hardmine.data.derived import Fold, are_drawn, is_held_out
from hardmine.data.identity import as_text, common_folder, names_below
from hardmine.data.images import load_rgb
from hardmine.data.problems import Problem
from hardmine.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset
else:  # torch is imported where the first image becomes a tensor
    Dataset = object

__all__ = [
    "IGNORED",
    "Mask",
    "SegmentationDataset",
    "SegmentationPart",
    "SegmentationRecord",
    "hold_out_masks",
    "some_masks",
]


class Mask(Protocol):
    """Where the labels of an image come from."""

    def read(self) -> np.ndarray:
        """(H, W) uint8, 0..C-1 or `IGNORED`. Raises: DataError: it cannot be decoded, or a value is no class."""
        ...


@dataclass(frozen=True, slots=True)
class SegmentationRecord:
    """One image and the source of its mask; width and height are those of both as loaded."""

    image_id: int  # unique in the data set
    file: Path | None  # None for an image that is generated
    mask: Mask
    width: int
    height: int
    orientation: int = 1  # the EXIF orientation to apply when the image is decoded
    own_id: int | str | None = None  # the data set's own, where it has ids


class SegmentationDataset(Dataset):
    """One split of a data set, decoded image by image; `problems` holds what was left out while reading it.

    Raises: DataError: no image, no class, or more classes than 255, which is the label of ignored pixels.
    """

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        records: Sequence[SegmentationRecord],
        problems: Sequence[Problem] = (),
    ):
        self.name, self.split, self.classes = name, split, tuple(map(as_text, classes))
        self.records, self.problems = tuple(records), tuple(problems)
        self._refuse_unusable()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> "tuple[Tensor, Tensor]":
        """The image as (3, H, W) uint8, and its labels as (H, W) int64, 255 where they are ignored.

        Raises: DataError: a file cannot be decoded, changed since it was opened, or has a value that is no class.
        """
        import torch

        image = torch.from_numpy(self.pixels(index)).permute(2, 0, 1).contiguous()
        return image, torch.from_numpy(self.mask(index).astype(np.int64))

    def pixels(self, index: int) -> np.ndarray:
        """The image as (H, W, 3) uint8. Raises: DataError: as `__getitem__`."""
        record = self.records[index]
        if record.file is None:
            raise DataError(f"{self.name}: image id {record.image_id} has no file; expected one to decode")
        return _of_size(load_rgb(record.file, record.orientation), record, record.file)

    def mask(self, index: int) -> np.ndarray:
        """The labels as (H, W) uint8. Raises: DataError: as `__getitem__`."""
        record = self.records[index]
        where = record.file or f"{self.name}, image id {record.image_id}"
        return _of_size(record.mask.read(), record, f"the mask of {where}")

    @cached_property
    def folder(self) -> Path | None:
        """The innermost folder that holds all images; None where they are generated."""
        return common_folder(record.file for record in self.records)

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        """Of each image, relative to `folder`, with slashes; empty where it is generated."""
        return names_below(self.folder, (record.file for record in self.records))

    def hash_of_images(self) -> str:
        """Tells these images from others by number and name, in this order."""
        named = [(record.image_id, record.file.name if record.file else "") for record in self.records]
        return sha256(json.dumps(named).encode()).hexdigest()

    def _refuse_unusable(self) -> None:
        where = f"{self.name}, split {self.split!r}"
        if not 1 <= len(self.classes) <= IGNORED:
            raise DataError(f"{where}: {len(self.classes)} classes; expected 1 to {IGNORED}")
        if len(set(self.classes)) < len(self.classes):
            raise DataError(f"{where}: two classes have one name in {', '.join(self.classes)}; give each its own")
        if not self.records:
            by_severity = sorted(self.problems, key=lambda problem: problem.severity)
            first = f", first of {len(self.problems)} problems: {by_severity[0]}" if self.problems else ""
            raise DataError(f"{where}: no usable image with a mask, expected at least one{first}")


class SegmentationPart(SegmentationDataset):
    """Some images of a parent, in the order of `places`; pixels and masks stay with it."""

    def __init__(self, parent: SegmentationDataset, places: Sequence[int], split: str):
        self.parent, self.places = parent, tuple(places)
        chosen = [parent.records[place] for place in self.places]
        super().__init__(parent.name, split, parent.classes, chosen, parent.problems)

    def pixels(self, index: int) -> np.ndarray:
        return self.parent.pixels(self.places[index])

    def mask(self, index: int) -> np.ndarray:
        return self.parent.mask(self.places[index])


def hold_out_masks(
    dataset: SegmentationDataset, fold: Fold, groups: np.ndarray | None = None
) -> tuple[SegmentationPart, SegmentationPart]:
    """The data set without a fold, and the fold, dealt out as `hold_out` does with images of a detector.

    Raises: DataError: fewer images, or groups, than folds.
    """
    is_held = is_held_out(len(dataset), fold, groups, f"{dataset.name}, split {dataset.split!r}")
    rest, held = (np.flatnonzero(chosen).tolist() for chosen in (~is_held, is_held))
    return SegmentationPart(dataset, rest, dataset.split), SegmentationPart(dataset, held, "held_out")


def some_masks(dataset: SegmentationDataset, most: int) -> SegmentationDataset:
    """So many of its images, as `some_images` takes them; the data set itself where there are no more."""
    if len(dataset) <= most:
        return dataset
    return SegmentationPart(dataset, np.flatnonzero(are_drawn(len(dataset), most)).tolist(), dataset.split)


def _of_size(array: np.ndarray, record: SegmentationRecord, what: object) -> np.ndarray:
    if array.shape[:2] != (record.height, record.width):
        raise DataError(
            f"{os.fspath(what) if isinstance(what, Path) else what} is {array.shape[1]}x{array.shape[0]}, expected "
            f"{record.width}x{record.height} as when the data set was opened; leave its files alone while it is in use"
        )
    return array
