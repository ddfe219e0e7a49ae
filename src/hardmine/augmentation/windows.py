"""The surroundings of hard places as training images: one by itself, or four as a mosaic.

Mosaics are those of Bochkovskiy et al., YOLOv4, arXiv:2004.10934, of four hard places in place of four random images.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from hardmine.augmentation.crops import HardCrops, resized_pixels
from hardmine.augmentation.pasting import drawn_scale
from hardmine.augmentation.targets import UNKNOWN_PLACE, Target, joined, prepared, without_objects
from hardmine.data.transforms import BOXES, cut
from hardmine.errors import ConfigError

__all__ = ["CropHard", "HardMosaic"]


class CropHard(nn.Module):
    """Trains on a hard place and what is around it, whatever the image was.

    The window is a square, log-uniformly `context` times as long as the place, the root of its area; at least
    `least_px` pixels and as long as the place's longer side, and no larger than the image. The place lies anywhere in
    it. An object of which less than `visible` is left becomes a crowd, as in `RandomCrop`.

    Raises: ConfigError: a number out of its range.
    """

    def __init__(
        self, crops: HardCrops, context: tuple[float, float] = (2.0, 8.0), least_px: int = 32, visible: float = 0.2
    ) -> None:
        super().__init__()
        _check(context, visible)
        if least_px < 1:
            raise ConfigError(f"least_px is {least_px}, expected 1 at least")
        self.crops, self.context, self.least_px, self.visible = crops, context, least_px, visible

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        del image, target
        place = self.crops.draw()
        image, target = self.crops.image(place)
        box = self.crops.places.boxes[place].tolist()
        sides = box[2] - box[0], box[3] - box[1]
        side = (sides[0] * sides[1]) ** 0.5 * drawn_scale(self.context)
        side = round(max(side, *sides, self.least_px))
        return cut(image, target, _window_around(box, (side, side), image.shape[-2:]), self.visible)


class HardMosaic(nn.Module):
    """Trains on the surroundings of four hard places, in an image of the same size as the one that they replace.

    The corner in which they meet is drawn uniformly in the middle `1 - 2 split` of each side. Each is scaled
    log-uniformly by the factors `scale`, and by as much as it takes to fill its part. An object of which less than
    `visible` is left becomes a crowd. Images of a single row or column stay as they are.

    Raises: ConfigError: a number out of its range.
    """

    def __init__(
        self, crops: HardCrops, scale: tuple[float, float] = (0.5, 2.0), split: float = 0.3, visible: float = 0.2
    ) -> None:
        super().__init__()
        _check(scale, visible)
        if not 0 <= split <= 0.5:
            raise ConfigError(f"split is {split}, expected a share from 0 to .5")
        self.crops, self.scale, self.split, self.visible = crops, scale, split, visible

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        image, target = prepared(image, target)
        height, width = image.shape[-2:]
        if min(height, width) < 2:
            return image, target
        share = self.split + (1 - 2 * self.split) * torch.rand(2)
        y = min(max(round(height * float(share[0])), 1), height - 1)
        x = min(max(round(width * float(share[1])), 1), width - 1)
        canvas, mixed = image.as_subclass(Tensor).clone(), without_objects(target)
        for top, bottom in ((0, y), (y, height)):
            for left, right in ((0, x), (x, width)):
                tile, objects = self._tile(bottom - top, right - left)
                canvas[:, top:bottom, left:right] = v2.functional.to_dtype(tile, canvas.dtype, scale=True)
                mixed = joined(image, mixed, _moved(objects, left, top))
        return tv_tensors.wrap(canvas, like=image), mixed  # pyright: ignore[reportCallIssue]

    def _tile(self, height: int, width: int) -> tuple[Tensor, Target]:
        place = self.crops.draw()
        image, target = self.crops.image(place)
        full = image.shape[-2:]
        scale = max(drawn_scale(self.scale), height / full[0], width / full[1])
        size = max(round(width / scale), 1), max(round(height / scale), 1)
        window = _window_around(self.crops.places.boxes[place].tolist(), size, full)
        image, target = cut(image, target, window, self.visible)
        resized = {name: v2.functional.resize(target[name], [height, width]) for name in BOXES if name in target}
        return resized_pixels(image, (height, width)), target | resized


def _check(factors: tuple[float, float], visible: float) -> None:
    if not 0 < factors[0] <= factors[1] < float("inf") or not 0 <= visible <= 1:
        raise ConfigError(f"got factors {factors}, visible {visible}; expected 0 < low <= high, a share from 0 to 1")


def _moved(target: Target, left: int, top: int) -> Target:
    """A part's target in pixels of the mosaic; its objects are those of other images."""
    offset = torch.tensor([left, top, left, top])
    boxes = {name: target[name].as_subclass(Tensor) + offset for name in BOXES if name in target}
    return target | boxes | {"place": torch.full((len(target["labels"]),), UNKNOWN_PLACE)}


def _window_around(box: Sequence[float], sides: tuple[int, int], full: Sequence[int]) -> list[int]:
    """(top, left, height, width) of a window in an image of size `full` (H, W), with the box anywhere in it."""
    left, width = _stretch(box[0], box[2], sides[0], full[1])
    top, height = _stretch(box[1], box[3], sides[1], full[0])
    return [top, left, height, width]


def _stretch(start: float, end: float, side: int, length: int) -> tuple[int, int]:
    """Where a stretch of so many pixels begins that has one in it, if it is long enough, and how long it is."""
    side = min(side, length)
    at = float(torch.rand(()))
    low, high = max(int(-(-end // 1)) - side, 0), min(int(start // 1), length - side)
    if low > high:
        middle = round((start + end - side) / 2)
        return min(max(middle, 0), length - side), side
    return min(low + int(at * (high - low + 1)), high), side
