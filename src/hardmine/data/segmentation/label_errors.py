"""Label errors planted in masks on purpose, with the truth kept beside them: to measure a search for them by.

A region is a connected part of one class (by the sides of pixels), of at least 16 pixels, and at most half of those
that are labelled: what is larger is the ground on which the others lie. Each region meets one error at most:

    dropped    it becomes the class that surrounds it most
    shifted    it moves by a third to a half of its sides; where it was becomes the class that surrounds it most
    grown      it gains a margin of a tenth to a quarter of its square root of area, at least 2 pixels
    swapped    it gets another class

Ignored pixels stay ignored. Errors come one after the other, the first pixel of a region in reading order deciding.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.ndimage import binary_dilation, find_objects
from skimage.measure import label as label_components

from hardmine.core.pixels import IGNORED
from hardmine.data.label_errors import generator_of, shares_of
from hardmine.data.segmentation.records import Mask, SegmentationDataset, SegmentationRecord
from hardmine.data.telling import say_once
from hardmine.errors import ConfigError
from hardmine.launch import is_first

__all__ = [
    "MASK_ERROR_KINDS",
    "MaskErrorKind",
    "PlantedMaskError",
    "WithMaskErrors",
    "parse_mask_shares",
    "plant_mask_errors",
    "with_mask_errors",
]

MaskErrorKind = Literal["dropped", "shifted", "grown", "swapped"]
MASK_ERROR_KINDS: tuple[MaskErrorKind, ...] = ("dropped", "shifted", "grown", "swapped")
SMALLEST_REGION = 16
_LARGEST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PlantedMaskError:
    """One region that is labelled wrong. label: what the wrong pixels are now, of a shifted region where it is now.

    true_label: the region's own.  box: x1, y1, x2, y2 around the pixels that changed.  num_pixels: how many these are.
    """

    kind: MaskErrorKind
    label: int
    true_label: int
    box: tuple[int, int, int, int]
    num_pixels: int


@dataclass(frozen=True, slots=True)
class _SpoiltMask:
    """A mask with errors. called: by what its image is known, on which the errors depend."""

    truth: Mask
    called: tuple[int | str, ...]
    shares: Mapping[MaskErrorKind, float]
    num_classes: int

    def read(self) -> np.ndarray:
        return self.spoil()[0]

    def spoil(self) -> tuple[np.ndarray, list[PlantedMaskError]]:
        labels = self.truth.read()
        height, width = labels.shape
        return plant_mask_errors(labels, self.shares, self.num_classes, generator_of(self.called, width, height))


class WithMaskErrors(SegmentationDataset):
    """A data set with wrong masks, spoilt as they are read; the truth stays with `parent`."""

    def __init__(self, parent: SegmentationDataset, shares: Mapping[MaskErrorKind, float]):
        self.parent = parent
        num = len(parent.classes)
        self._spoilt = [_SpoiltMask(record.mask, _called(record), shares, num) for record in parent.records]
        records = [replace(record, mask=mask) for record, mask in zip(parent.records, self._spoilt, strict=True)]
        super().__init__(parent.name, parent.split, parent.classes, records, parent.problems)

    def pixels(self, index: int) -> np.ndarray:
        return self.parent.pixels(index)

    def true_mask(self, index: int) -> np.ndarray:
        """The labels (H, W) uint8 as they were before. Raises: DataError: as `mask`."""
        return self.parent.mask(index)

    def planted(self, index: int) -> list[PlantedMaskError]:
        """The errors of an image. Raises: DataError: as `mask`."""
        return self._spoilt[index].spoil()[1]


def parse_mask_shares(text: str) -> dict[MaskErrorKind, float]:
    """Reads "dropped=.2" or "dropped=.2,grown=.1", shares of the regions. Raises: ConfigError: as `parse_shares`."""
    return shares_of(text, MASK_ERROR_KINDS, "regions")


def with_mask_errors(dataset: SegmentationDataset, shares: Mapping[MaskErrorKind, float]) -> WithMaskErrors:
    """The data set with these shares of its regions labelled wrong.

    Which regions and how depends on nothing but the shares and the image: its mask, its size, and its id, or where it
    has none the names of its file and folder. So a part of the data set has the errors that the whole has there.

    Raises: ConfigError: unknown kinds, shares that are none, or a swap among fewer than two classes.
    """
    _check_shares(shares)
    if shares.get("swapped") and len(dataset.classes) < 2:
        raise ConfigError(
            f"mask errors: swapped needs two classes; {dataset.name} has only {', '.join(dataset.classes)}"
        )
    if is_first():
        told = ", ".join(f"{share:g} {kind}" for kind, share in shares.items()) or "none"
        say_once(f"{dataset.name}, split {dataset.split!r}: planted in the regions of masks: {told}", logging.INFO)
    return WithMaskErrors(dataset, dict(shares))


def plant_mask_errors(
    labels: np.ndarray, shares: Mapping[MaskErrorKind, float], num_classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[PlantedMaskError]]:
    """Labels (H, W) with errors in these shares of their regions, and what these are; the truth is left as it is.

    Raises: ConfigError: unknown kinds or shares that are none.
    """
    _check_shares(shares)
    spoilt, errors = labels.copy(), []
    ends = np.cumsum([shares.get(kind, 0) for kind in MASK_ERROR_KINDS])
    for region, true_label in _regions(labels):
        place = int(np.searchsorted(ends, rng.random(), side="right"))
        if place >= len(MASK_ERROR_KINDS):
            continue
        kind, before = MASK_ERROR_KINDS[place], spoilt.copy()
        now = _spoil(kind, spoilt, region, true_label, num_classes, rng)
        spoilt[labels == IGNORED] = IGNORED
        rows, columns = np.nonzero(spoilt != before)
        if len(rows):
            box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
            errors.append(PlantedMaskError(kind, now, true_label, box, len(rows)))
    return spoilt, errors


def _check_shares(shares: Mapping[MaskErrorKind, float]) -> None:
    known, total = set(shares) <= set(MASK_ERROR_KINDS), sum(shares.values())
    if not known or not all(share > 0 for share in shares.values()) or total > 1 + 1e-9:
        raise ConfigError(
            f"mask errors are {dict(shares)}, expected shares of the regions above 0, together at most 1, of "
            f"{', '.join(MASK_ERROR_KINDS)}"
        )


def _called(record: SegmentationRecord) -> tuple[int | str, ...]:
    if record.own_id is None and record.file is not None:
        return record.file.parts[-2:]
    own = record.image_id if record.own_id is None else record.own_id
    return (own,)


def _regions(labels: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Every region that may meet an error, as (H, W) bool, and its label."""
    components = np.asarray(label_components(labels.astype(np.int16), background=IGNORED, connectivity=1))
    sizes = np.bincount(components.reshape(-1))
    largest = _LARGEST_SHARE * sizes[1:].sum()
    found = []
    for number, place in enumerate(find_objects(components), start=1):
        if SMALLEST_REGION <= sizes[number] <= largest:
            region = components == number
            found.append((region, int(labels[place][region[place]][0])))
    return found


def _spoil(
    kind: MaskErrorKind,
    spoilt: np.ndarray,
    region: np.ndarray,
    label: int,
    num_classes: int,
    rng: np.random.Generator,
) -> int:
    """Changes the labels in place, and returns that of the wrong pixels."""
    if kind == "swapped":
        spoilt[region] = now = (label + int(rng.integers(1, num_classes))) % num_classes if num_classes > 1 else label
        return now
    if kind == "grown":
        margin = max(2, round(rng.uniform(0.1, 0.25) * float(np.sqrt(region.sum()))))
        spoilt[np.asarray(binary_dilation(region, np.ones((3, 3)), margin), dtype=bool)] = label
        return label
    around = _surrounding(spoilt, region, label)
    spoilt[region] = around
    if kind == "dropped":
        return around
    spoilt[_shifted(region, rng)] = label
    return label


def _surrounding(labels: np.ndarray, region: np.ndarray, label: int) -> int:
    """The class that most pixels next to the region have; its own where none is known."""
    ring = labels[np.asarray(binary_dilation(region)) & ~region]
    ring = ring[(ring != IGNORED) & (ring != label)]
    return int(np.bincount(ring).argmax()) if len(ring) else label


def _shifted(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The region, moved towards more room; what leaves the image is cut."""
    rows, columns = np.nonzero(region)
    moved: list[np.ndarray] = []
    for places, length in ((rows, region.shape[0]), (columns, region.shape[1])):
        side = int(places.max() - places.min()) + 1
        towards = 1 if places.min() + places.max() < length else -1
        moved.append(places + towards * max(1, round(side * rng.uniform(0.33, 0.5))))
    is_inside = np.logical_and.reduce([(at >= 0) & (at < side) for at, side in zip(moved, region.shape, strict=True)])
    found = np.zeros_like(region)
    found[moved[0][is_inside], moved[1][is_inside]] = True
    return found
