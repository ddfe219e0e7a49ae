"""Hard places cut out of their images when they are asked for; the last ones are kept.

With a mask of the object its pixels are cut, without one its box and a border around it, over which it fades: a cut
edge would say where something was pasted (Dwibedi et al., Cut, Paste and Learn, ICCV 2017, arXiv:1708.01642).
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from hardmine.augmentation.places import BACKGROUND, HardPlaces
from hardmine.augmentation.targets import Target, prepared
from hardmine.core.boxes import area, pairwise_intersection
from hardmine.errors import ConfigError

__all__ = ["HardCrops", "Patch", "resized_pixels"]

Masks = Callable[[int, np.ndarray], np.ndarray | None]


@dataclass(frozen=True, slots=True)
class Patch:
    """A hard place, cut out.

    target: boxes (k, 4) xyxy in pixels of the patch, labels, iscrowd and perhaps weights (k,) of what lies in the core,
        the hard object first; of a background, and under a mask, nothing else.
    """

    pixels: Tensor  # (3, h, w) uint8
    core: Tensor  # (4,) float32, xyxy in pixels of the patch: the box, shown as it is
    border: tuple[float, float]  # horizontal and vertical, in pixels: how far it takes to fade
    mask: Tensor | None  # (h, w) float32 in [0, 1]: which pixels are the object's
    target: Target

    @property
    def alpha(self) -> Tensor:
        """(h, w) float32 in [0, 1], how much of a pixel is seen: 1 where it touches the core, or as the mask says."""
        if self.mask is not None:
            return self.mask
        height, width = self.pixels.shape[-2:]
        x1, y1, x2, y2 = self.core.tolist()
        horizontal = _distance(width, x1, x2) / (self.border[0] + 1)
        vertical = _distance(height, y1, y2) / (self.border[1] + 1)
        return (1 - (horizontal[None] ** 2 + vertical[:, None] ** 2).sqrt()).clamp(0, 1)

    def resized(self, scale: float) -> "Patch":
        """The patch enlarged so many times, or made smaller; never below one pixel."""
        height, width = self.pixels.shape[-2:]
        size = [max(round(height * scale), 1), max(round(width * scale), 1)]
        by = size[1] / width, size[0] / height
        mask = self.mask if self.mask is None else v2.functional.resize(self.mask[None], size)[0].clamp(0, 1)
        factors = torch.tensor([*by, *by])
        return replace(
            self,
            pixels=resized_pixels(self.pixels, size),
            core=self.core * factors,
            border=(self.border[0] * by[0], self.border[1] * by[1]),
            mask=mask,
            target=self.target | {"boxes": self.target["boxes"] * factors},
        )

    def flipped(self, axis: int) -> "Patch":
        """The patch mirrored; axis: 0 left to right, 1 upside down."""
        length = self.pixels.shape[2 - axis]
        return replace(
            self,
            pixels=self.pixels.flip(2 - axis),
            core=_mirrored(self.core[None], axis, length)[0],
            mask=self.mask if self.mask is None else self.mask.flip(1 - axis),
            target=self.target | {"boxes": _mirrored(self.target["boxes"], axis, length)},
        )


def resized_pixels(image: Tensor, size: Sequence[int]) -> Tensor:
    """An image (3, H, W) uint8 in another size (h, w), smoothly.

    By way of floats: to a single pixel torch 2.14 cannot make bytes smaller, by an internal error.
    """
    if tuple(size) == tuple(image.shape[-2:]):
        return image
    resized = v2.functional.resize(image.as_subclass(Tensor).float(), list(size))
    return resized.round().clamp(0, 255).to(torch.uint8)


def _distance(length: int, start: float, end: float) -> Tensor:
    """(length,) how many pixels each is from those that a stretch between two coordinates touches; 0 for these."""
    pixel = torch.arange(length, dtype=torch.float32)
    return torch.maximum(math.floor(start) - pixel, pixel + 1 - math.ceil(end)).clamp(min=0)


def _mirrored(boxes: Tensor, axis: int, length: int) -> Tensor:
    boxes = boxes.clone()
    boxes[:, [axis, axis + 2]] = length - boxes[:, [axis + 2, axis]]
    return boxes


class HardCrops:
    """Cuts hard places out of a data set's images, decoding each when it is first asked for.

    Args: images: (image (3, H, W) uint8, target with boxes, labels, perhaps iscrowd and weights) by number.
        places: which of them, see `HardPlaces`.  masks: (image, box) -> (H, W) bool, which pixels are the object's, or
        None where that is not known.  border: of a box without a mask, as a share of its side.  visible: another object
        of which less than this share lies in a box goes along as a crowd.  kept_mb: how much of what was cut is kept.
    Raises: ConfigError: no place, or a share outside 0..1.
    """

    def __init__(
        self,
        images: Any,
        places: HardPlaces,
        masks: Masks | None = None,
        *,
        border: float = 0.15,
        visible: float = 0.5,
        kept_mb: float = 64,
    ) -> None:
        if not len(places):
            raise ConfigError("there is no hard place to cut; expected one at least")
        if not 0 <= border <= 1 or not 0 <= visible <= 1:
            raise ConfigError(f"border is {border}, visible {visible}; expected shares from 0 to 1")
        self.images, self.places, self.masks = images, places, masks
        self.border, self.visible, self.kept_bytes = border, visible, kept_mb * 2**20
        self._until = torch.from_numpy(np.cumsum(places.weights()))
        self._patches: OrderedDict[int, Patch] = OrderedDict()
        self._num_bytes = 0

    def draw(self) -> int:
        """A place at random, every class alike and within a class by hardness."""
        at = torch.rand((), dtype=torch.float64) * self._until[-1]
        return min(int(torch.searchsorted(self._until, at, right=True)), len(self.places) - 1)

    def image(self, place: int) -> tuple[Tensor, Target]:
        """The whole image that a place is on, and its target, as tv_tensors."""
        return prepared(*self.images[int(self.places.image[place])])

    def patch(self, place: int) -> Patch:
        """The place, cut out."""
        if place in self._patches:
            self._patches.move_to_end(place)
            return self._patches[place]
        patch = self._patches[place] = self._cut(place)
        self._num_bytes += patch.pixels.nbytes
        while self._num_bytes > self.kept_bytes:
            self._num_bytes -= self._patches.popitem(last=False)[1].pixels.nbytes
        return patch

    def _cut(self, place: int) -> Patch:
        image, target = self.image(place)
        box = torch.from_numpy(self.places.boxes[place].astype(np.float32))
        mask = self._mask(place)
        border = (box[2:] - box[:2]) * (self.border if mask is None else 0)
        size = torch.tensor([image.shape[-1], image.shape[-2]])
        left, top = (box[:2] - border).floor().clamp(min=0).int().tolist()
        right, bottom = (box[2:] + border).ceil().minimum(size).int().tolist()
        origin = torch.tensor([left, top, left, top])
        return Patch(
            pixels=image.as_subclass(Tensor)[:, top:bottom, left:right].clone(),
            core=box - origin,
            border=(float(border[0]), float(border[1])),
            mask=None if mask is None else torch.from_numpy(mask[top:bottom, left:right]).float(),
            target=self._contents(int(self.places.objects[place]), box, target, alone=mask is not None, origin=origin),
        )

    def _mask(self, place: int) -> np.ndarray | None:
        box = self.places.boxes[place]
        if self.masks is None or self.places.objects[place] == BACKGROUND:
            return None
        mask = self.masks(int(self.places.image[place]), box)
        return mask if mask is not None and _inside(mask, box).any() else None

    def _contents(self, own: int, box: Tensor, target: Target, *, alone: bool, origin: Tensor) -> Target:
        """What lies in the box, cut at its sides, the object that it is of first."""
        boxes = target["boxes"].as_subclass(Tensor)
        first = [] if own == BACKGROUND else [own]
        share = pairwise_intersection(boxes, box[None])[:, 0] / area(boxes)
        others = [] if alone else [n for n in torch.where(share > 0)[0].tolist() if n != own]
        which = torch.tensor([*first, *others], dtype=torch.int64)
        seen = torch.cat([boxes[which[: len(first)]], _within(boxes[which[len(first) :]], box)])
        crowd = target["iscrowd"][which] | (share[which] < self.visible)
        kept = {name: target[name][which] for name in ("labels", "weights") if name in target}
        return kept | {"boxes": seen - origin, "iscrowd": crowd}


def _within(boxes: Tensor, box: Tensor) -> Tensor:
    return torch.cat([torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])], dim=1)


def _inside(mask: np.ndarray, box: Sequence[float] | np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = (*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int))
    return mask[max(y1, 0) : y2, max(x1, 0) : x2]
