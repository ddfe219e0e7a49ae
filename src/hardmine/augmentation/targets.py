"""Targets with more objects in them."""

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from hardmine.data.transforms import BOXES, OF_OBJECTS, as_tv

__all__ = ["UNKNOWN_PLACE", "boxes_on", "joined", "prepared", "without_objects"]

Target = dict[str, Any]
UNKNOWN_PLACE = -1
"""The `place` of an object that is none of its image's own."""
_DEFAULTS = {"weights": torch.tensor(1.0), "place": torch.tensor(UNKNOWN_PLACE), "missed": torch.tensor(False)}


def prepared(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """The image and its target as tv_tensors; where nothing is said of crowds, there are none."""
    image, target = as_tv(image, target)
    crowd = target.get("iscrowd", torch.zeros(len(target["boxes"]), dtype=torch.bool))
    return image, target | {"iscrowd": torch.as_tensor(crowd).bool()}


def boxes_on(image: Tensor, boxes: Tensor) -> Tensor:
    """Boxes as those of an image of this size."""
    height, width = image.shape[-2:]
    return tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))  # pyright: ignore[reportCallIssue]


def joined(image: Tensor, target: Target, added: Target) -> Target:
    """The target of the image with the objects of another after its own; both have boxes in pixels of the image.

    Weights, and which were missed, are kept where either has them; those of the other are 1, and none. A target with
    proposals also gets those of the other, or where that has none, the boxes of its objects.
    """
    added = {"proposals": added["boxes"], **added}
    names = ["boxes", "iscrowd", *(name for name in ("labels", "place", "proposals") if name in target)]
    names += [name for name in ("weights", "missed") if name in target or name in added]
    values = {name: torch.cat([_of(part, name) for part in (target, added)]) for name in names}
    return target | {name: boxes_on(image, value) if name in BOXES else value for name, value in values.items()}


def without_objects(target: Target) -> Target:
    """What the target says of the image, with no object and no proposal."""
    names = [name for name in (*OF_OBJECTS, *BOXES, "iscrowd") if name in target]
    return target | {name: target[name].as_subclass(Tensor)[:0] for name in names}


def _of(target: Target, name: str) -> Tensor:
    return target[name].as_subclass(Tensor) if name in target else _DEFAULTS[name].expand(len(target["boxes"]))
