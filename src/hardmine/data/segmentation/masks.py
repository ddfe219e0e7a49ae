"""Sources of an image's mask: a file of values or colours, or objects that are painted one over the other.

Objects are painted in this order, each over what was painted before:

    1. everything is background, or ignored where no class is called so
    2. crowds, and the places of objects whose shape could not be read: ignored
    3. objects, from the largest to the smallest, so that none hides a smaller one; of equals the later in the file
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardmine.core.pixels import IGNORED
from hardmine.data.images import load_colours, load_values
from hardmine.data.segmentation.classes import Classes
from hardmine.data.segmentation.shapes import Box, Shape

__all__ = ["HeldMask", "MaskFile", "PaintedMask", "PaintedObject"]


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A file with a value or a colour for each pixel, turned as the EXIF `orientation` says."""

    file: Path
    classes: Classes
    orientation: int = 1

    def read(self) -> np.ndarray:
        """(H, W) uint8 labels. Raises: DataError: it cannot be decoded, or a value is no class."""
        load = load_colours if self.classes.are_colours else load_values
        return self.classes.label(load(self.file, self.orientation), self.file)


@dataclass(frozen=True, slots=True)
class PaintedObject:
    """What one object covers; label: its class, or `IGNORED` of a crowd."""

    label: int
    shape: Shape | Box


@dataclass(frozen=True, slots=True)
class PaintedMask:
    """Objects painted over a ground of one label; width and height of the image that they are drawn on."""

    objects: Sequence[PaintedObject]
    width: int
    height: int
    ground: int

    def read(self) -> np.ndarray:
        """(H, W) uint8 labels."""
        labels = np.full((self.height, self.width), self.ground, dtype=np.uint8)
        for one in sorted(self.objects, key=self._order):
            labels[one.shape.covered(self.width, self.height)] = one.label
        return labels

    def _order(self, one: PaintedObject) -> tuple[bool, int]:
        is_object = one.label != IGNORED
        return is_object, -int(one.shape.covered(self.width, self.height).sum()) if is_object else 0


@dataclass(frozen=True, slots=True)
class HeldMask:
    """Labels (H, W) uint8 that are held in memory."""

    labels: np.ndarray

    def read(self) -> np.ndarray:
        """A copy of the labels."""
        return self.labels.copy()
