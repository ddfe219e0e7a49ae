"""A data set made of another: some of its images, or its images with other objects on them.

Pixels stay with the parent; nothing is copied and nothing is decoded twice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.errors import ConfigError, DataError

__all__ = ["DerivedDataset", "Fold", "are_drawn", "hold_out", "is_held_out", "some_images"]


class DerivedDataset(DetectionDataset):
    """Records on the images of a parent: `records[i]` describes image `places[i]` of it, under any id."""

    def __init__(self, parent: DetectionDataset, split: str, places: Sequence[int], records: Sequence[ImageRecord]):
        self.parent, self.places = parent, tuple(places)
        own = parent.own_category_ids
        super().__init__(parent.name, split, parent.classes, parent.category_ids, records, parent.problems, own)

    def pixels(self, index: int) -> np.ndarray:
        return self.parent.pixels(self.places[index])

    def proposals(self, index: int) -> np.ndarray | None:
        return self.parent.proposals(self.places[index])


@dataclass(frozen=True, slots=True)
class Fold:
    """One of ``of`` parts, all but equally large, that together are the whole; `number` counts from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Fold":
        """Reads "2/3", the second of three parts. Raises: ConfigError: it is no such text, or there is no such part."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        number, of = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= of or of < 2:
            raise ConfigError(f"a fold is written as 1/3, the first of three parts of at least two; got {text!r}")
        return cls(number, of)


def hold_out(
    dataset: DetectionDataset, fold: Fold, groups: np.ndarray | None = None
) -> tuple[DetectionDataset, DetectionDataset]:
    """The data set without a fold, and the fold: images are dealt out at random, and always in the same way.

    Args: groups: (I,) the group of each image, as `groups_of` names them: a group lies in one fold as a whole, so
        folds are as equally large as the groups allow.
    Raises: DataError: fewer images, or groups, than folds.
    """
    is_held = is_held_out(len(dataset), fold, groups, f"{dataset.name}, split {dataset.split!r}")
    return _some(dataset, ~is_held, dataset.split), _some(dataset, is_held, "held_out")


def is_held_out(num_images: int, fold: Fold, groups: np.ndarray | None, where: str) -> np.ndarray:
    """(I,) whether each image lies in the fold, as `hold_out` deals them out. Raises: DataError: as there."""
    num, dealt = (num_images, "images") if groups is None else (len(np.unique(groups)), "groups of images")
    if num < fold.of:
        raise DataError(f"{where}: {num} {dealt} cannot make {fold.of} folds")
    shuffled = np.random.default_rng(0).permutation(num)
    part = shuffled % fold.of if groups is None else _deal_groups(groups, shuffled, fold.of)
    return part == fold.number - 1


def _deal_groups(groups: np.ndarray, shuffled: np.ndarray, num_parts: int) -> np.ndarray:
    """(I,) the part of each image: groups go, large ones first and equal ones as shuffled, to the smallest part."""
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    part_of_group, filled = np.zeros(len(sizes), dtype=int), np.zeros(num_parts, dtype=int)
    for place in np.lexsort([shuffled, -sizes]):
        part_of_group[place] = filled.argmin()
        filled[filled.argmin()] += sizes[place]
    return part_of_group[group]


def _some(dataset: DetectionDataset, chosen: np.ndarray, split: str) -> DetectionDataset:
    places = np.flatnonzero(chosen).tolist()
    return DerivedDataset(dataset, split, places, [dataset.records[place] for place in places])


def some_images(dataset: DetectionDataset, most: int) -> DetectionDataset:
    """So many of its images at random, always the same ones; the data set itself where there are no more."""
    return dataset if len(dataset) <= most else _some(dataset, are_drawn(len(dataset), most), dataset.split)


def are_drawn(num_images: int, most: int) -> np.ndarray:
    """(I,) which images `some_images` takes."""
    return np.isin(np.arange(num_images), np.random.default_rng(0).permutation(num_images)[:most])
