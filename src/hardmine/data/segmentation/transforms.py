"""Random changes of a training image together with its mask, and batches of them, all of one size.

An image is flipped, and then cut to a square of `side` pixels at a random place. Where it is smaller it is filled up on
the right and below, with the mean colour of ImageNet in the image and with ignored pixels in the mask. Nothing is
resized, so every label stays that of its own pixel.

Randomness is torch's global generator, as in `hardmine.data.transforms`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.pixels import IGNORED
from hardmine.errors import ConfigError

__all__ = ["MaskTransform", "as_input", "collate_masks"]

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, by which torchvision's and transformers' segmenters are shown their images."""


class MaskTransform:
    """Makes an image (3, H, W) uint8 and its labels (H, W) ones of (side, side).

    Raises: ConfigError: a probability outside 0..1, or a side below 1.
    """

    def __init__(self, side: int, flip_horizontal: float = 0.5, flip_vertical: float = 0.0):
        for name, probability in {"flip_horizontal": flip_horizontal, "flip_vertical": flip_vertical}.items():
            if not 0 <= probability <= 1:
                raise ConfigError(f"{name} is {probability}, expected a probability from 0 to 1")
        if side < 1:
            raise ConfigError(f"side is {side} pixels, expected at least 1")
        self.side, self.flips = side, {-1: flip_horizontal, -2: flip_vertical}

    def __call__(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        for axis, probability in self.flips.items():
            if float(torch.rand(())) < probability:
                image, labels = image.flip(axis), labels.flip(axis)
        rows, columns = (self._window(size) for size in labels.shape)
        return self._filled(image[:, rows, columns]), self._filled(labels[rows, columns])

    def _window(self, size: int) -> slice:
        start = int(torch.randint(max(1, size - self.side + 1), ()))
        return slice(start, start + self.side)

    def _filled(self, part: Tensor) -> Tensor:
        missing = (0, self.side - part.shape[-1], 0, self.side - part.shape[-2])
        if part.ndim == 2:
            return F.pad(part, missing, value=IGNORED)
        channels = zip(part, MEAN, strict=True)
        return torch.stack([F.pad(channel, missing, value=round(255 * mean)) for channel, mean in channels])


def as_input(image: Tensor) -> Tensor:
    """An image (3, H, W) uint8 as segmenters are shown it: floats, less the mean of ImageNet and by its spread."""
    mean, spread = (image.new_tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (MEAN, SPREAD))
    return (image.float() / 255 - mean) / spread


def collate_masks(batch: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) as `as_input` makes them, and labels (B, H, W); all of one size."""
    images, labels = zip(*batch, strict=True)
    return torch.stack([as_input(image) for image in images]), torch.stack(labels)
