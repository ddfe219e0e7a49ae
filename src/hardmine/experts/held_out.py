"""Samples of images that a model has not learnt, as its last layer sees them, and what it makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.errors import DataError, ShapeError

__all__ = ["HeldOutSamples"]


@dataclass(frozen=True, slots=True)
class HeldOutSamples:
    """RoIs or pixels: n of them, all of which count.

    features: (n, d), the input of the model's last layer.  logits: (n, C), its output, background among the classes.
    labels: (n,) int64, the column of the true class.  image: (n,) int64, a number for each image.
    Raises: ShapeError: shapes that do not belong together.  DataError: a label that is no column, or a number that is
        not finite.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    image: Tensor

    def __post_init__(self) -> None:
        number = len(self.labels)
        shapes = [tuple(of.shape) for of in (self.features, self.logits, self.labels, self.image)]
        if [len(shape) for shape in shapes] != [2, 2, 1, 1] or {shape[0] for shape in shapes} != {number}:
            raise ShapeError(
                f"got features, logits, labels and image of shapes {shapes}; expected (n, d), (n, C), (n,) and (n,)"
            )
        if number and not (int(self.labels.min()) >= 0 and int(self.labels.max()) < self.num_classes):
            raise DataError(
                f"got labels from {int(self.labels.min())} to {int(self.labels.max())}, expected 0 to "
                f"{self.num_classes - 1}, the columns of the logits; leave ignored samples out"
            )
        if not (self.features.isfinite().all() and self.logits.isfinite().all()):
            raise DataError("features or logits are not finite; the model that they come from has diverged")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_features(self) -> int:
        """d"""
        return self.features.shape[1]

    @property
    def num_classes(self) -> int:
        """C, background included where it is a column."""
        return self.logits.shape[1]

    @property
    def hardness(self) -> Tensor:
        """(n,) in [0, 1]: one minus the probability that the model gives to the true class."""
        return -torch.expm1(-F.cross_entropy(self.logits, self.labels, reduction="none"))

    @property
    def half(self) -> Tensor:
        """(n,) 0 or 1: images are dealt to two halves in turn, in the order of their numbers."""
        return torch.unique(self.image, return_inverse=True)[1] % 2

    def only(self, kept: Tensor) -> "HeldOutSamples":
        """Those of a mask (n,) or of places (k,), in that order."""
        return HeldOutSamples(self.features[kept], self.logits[kept], self.labels[kept], self.image[kept])

    @classmethod
    def joined(cls, parts: Sequence["HeldOutSamples"]) -> "HeldOutSamples":
        """All of them, in order. Raises: DataError: there are none."""
        if not any(len(part) for part in parts):
            raise DataError("no sample was held out; give images with something to tell apart")
        return cls(
            torch.cat([part.features for part in parts]),
            torch.cat([part.logits for part in parts]),
            torch.cat([part.labels for part in parts]),
            torch.cat([part.image for part in parts]),
        )
