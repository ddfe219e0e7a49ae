"""Random changes of a training image together with its boxes, by torchvision's v2 transforms, and batches of images.

Randomness is torch's global generator, as everywhere in torchvision: seed it, or the loader's workers, to repeat a
run.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from hardmine.errors import ConfigError

__all__ = ["BOXES", "OF_OBJECTS", "RandomCrop", "TrainingTransform", "as_tv", "collate", "cut", "training_transform"]

Target = dict[str, Any]
OF_OBJECTS = ("labels", "weights", "missed", "place")
"""What a target may say of each object beside its box and whether it is a crowd."""
BOXES = ("boxes", "proposals")
"""What of a target moves with the image."""


def training_transform(
    flip_horizontal: float = 0.5,
    flip_vertical: float = 0.0,
    crop: float = 0.0,
    first: Callable[..., Any] | None = None,
) -> "TrainingTransform":
    """Flips and cuts with the given probabilities; vertical only where up and down mean nothing (cells, aerial images).

    Args: first: a transform that comes before these.
    Raises: ConfigError: a probability outside 0..1.
    """
    chances = {"flip_horizontal": flip_horizontal, "flip_vertical": flip_vertical, "crop": crop}
    for name, probability in chances.items():
        if not 0 <= probability <= 1:
            raise ConfigError(f"{name} is {probability}, expected a probability from 0 to 1")
    flips = [v2.RandomHorizontalFlip(flip_horizontal), v2.RandomVerticalFlip(flip_vertical)]
    before = [] if first is None else [first]
    return TrainingTransform(v2.Compose([*before, v2.RandomApply([RandomCrop()], crop), *flips]))


class RandomCrop(nn.Module):
    """Cuts a random part out of an image, of at least ``least`` of each side; objects keep what is visible of them.

    An object of which less than ``visible`` is left becomes a crowd: neither an object nor background.
    """

    def __init__(self, least: float = 0.75, visible: float = 0.2):
        super().__init__()
        self.least, self.visible = least, visible

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        size = torch.tensor(image.shape[-2:])
        kept = (size * (self.least + (1 - self.least) * torch.rand(2))).round().int().clamp(min=1)
        corner = (torch.rand(2) * (size - kept + 1)).int()
        window = [*corner.tolist(), *kept.tolist()]
        return cut(image, target, window, self.visible)


def cut(image: Tensor, target: Target, window: Sequence[int], visible: float) -> tuple[Tensor, Target]:
    """What of an image and its target lies in a window (top, left, height, width) in pixels; boxes are tv_tensors.

    Objects keep what is in it of them; one of which less than the share ``visible`` is, becomes a crowd.
    """
    boxes = v2.functional.crop(target["boxes"], *window)
    share = _areas(boxes) / _areas(target["boxes"])
    inside = share > 0
    objects = {name: target[name] for name in OF_OBJECTS if name in target}
    objects["iscrowd"] = target["iscrowd"] | (share < visible)
    # an index makes a plain tensor of the boxes, and later transforms would leave them alone
    kept = {name: values[inside] for name, values in objects.items()}
    kept["boxes"] = _some(boxes, inside)
    if "proposals" in target:
        proposals = v2.functional.crop(target["proposals"], *window)
        kept["proposals"] = _some(proposals, _areas(proposals) > 0)
    return v2.functional.crop(image, *window), target | kept


def _some(boxes: Tensor, chosen: Tensor) -> Tensor:
    return tv_tensors.wrap(boxes[chosen], like=boxes)  # pyright: ignore[reportCallIssue]


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).as_subclass(Tensor).prod(dim=1)


class TrainingTransform:
    """Applies v2 transforms to an image (3, H, W) and its target, and gives plain tensors back.

    Plain, because losses run on them next: as tv_tensors each operation on the boxes would pay for the wrapper.
    """

    def __init__(self, transform: Callable[..., Any]):
        self.transform = transform

    def __call__(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        image, changed = self.transform(*as_tv(image, target))
        plain = {name: changed[name].as_subclass(Tensor) for name in BOXES if name in changed}
        return image.as_subclass(Tensor), {**changed, **plain}


def as_tv(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """The image and all boxes of its target as torchvision's tv_tensors, which transforms move together."""
    height, width = image.shape[-2:]
    boxes = {
        name: tv_tensors.BoundingBoxes(target[name], format="XYXY", canvas_size=(height, width))  # pyright: ignore[reportCallIssue]
        for name in BOXES
        if name in target
    }
    return tv_tensors.Image(image), {**target, **boxes}


def collate(batch: Sequence[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Images as floats in [0, 1] and targets, as two lists: detectors take images of different sizes."""
    images, targets = zip(*batch, strict=True)
    return [v2.functional.to_dtype(image, torch.float32, scale=True) for image in images], list(targets)
