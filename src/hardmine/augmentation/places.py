"""Where a detector is wrong, on which image, and how much: what augmentation cuts from."""

from dataclasses import dataclass

import numpy as np

from hardmine.errors import ShapeError

__all__ = ["BACKGROUND", "HardPlaces"]

BACKGROUND = -1
"""The label, and the object, of a place where there is none."""


@dataclass(frozen=True, slots=True)
class HardPlaces:
    """P places on the images of a data set.

    Raises: ShapeError: arrays that are not of one length.
    """

    image: np.ndarray  # (P,) int64, which image of the data set
    boxes: np.ndarray  # (P, 4) float32, xyxy in pixels of that image
    labels: np.ndarray  # (P,) int64, 0..C-1, or BACKGROUND
    objects: np.ndarray  # (P,) int64, which object of its image, or BACKGROUND
    hardness: np.ndarray  # (P,) float64, above 0

    def __post_init__(self) -> None:
        num = len(self.image)
        shapes = [np.shape(values) for values in (self.image, self.labels, self.objects, self.hardness)]
        if shapes != [(num,)] * 4 or np.shape(self.boxes) != (num, 4):
            raise ShapeError(f"places are (P,) and boxes (P, 4); got {shapes} and {np.shape(self.boxes)}")

    def __len__(self) -> int:
        return len(self.image)

    @property
    def of_objects(self) -> "HardPlaces":
        """Those where an object is hard to find."""
        return self.only(self.labels != BACKGROUND)

    @property
    def of_backgrounds(self) -> "HardPlaces":
        """Those where background is taken for an object."""
        return self.only(self.labels == BACKGROUND)

    def only(self, chosen: np.ndarray) -> "HardPlaces":
        """Some of them, by a mask (P,)."""
        columns = (self.image, self.boxes, self.labels, self.objects, self.hardness)
        return HardPlaces(*(values[chosen] for values in columns))

    def weights(self) -> np.ndarray:
        """(P,) how often each is drawn: every class alike, and within a class in proportion to hardness."""
        _, of_class = np.unique(self.labels, return_inverse=True)
        return self.hardness / np.bincount(of_class, self.hardness)[of_class]
