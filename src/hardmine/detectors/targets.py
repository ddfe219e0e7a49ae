"""Targets as a user gives them: what each field must look like, and which of the boxes are objects and which crowds.

Only shapes and dtypes are looked at here: no value is read, so no device is waited for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from hardmine.errors import ShapeError

__all__ = ["Targets", "check_targets", "missed_of", "split_crowds", "weights_of"]

Targets = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Field:
    """What a field of a target holds.

    sizes: of its dimensions, with G the number of boxes, H, W those of the image, K, P any.  kind: of its numbers.
    """

    sizes: tuple[str, ...]
    kind: str
    hint: str = ""

    @property
    def is_of_objects(self) -> bool:
        return self.sizes[0] == "G"


FIELDS = {
    "boxes": Field(("G", "4"), "floating point", "; an image without objects has boxes torch.zeros(0, 4)"),
    "labels": Field(("G",), "integer"),
    "iscrowd": Field(("G",), "real"),
    "weights": Field(("G",), "real"),
    "missed": Field(("G",), "real"),
    "masks": Field(("G", "H", "W"), "real"),
    "keypoints": Field(("G", "K", "3"), "floating point"),
    "proposals": Field(("P", "4"), "floating point"),
}
OPTIONAL = ("iscrowd", "weights", "missed")


def check_targets(images: Sequence[Tensor], targets: Any, needed: Iterable[str]) -> None:
    """One target an image, each a dict with the needed fields, and all fields that are read of the right form.

    Raises: ShapeError: names the image's place in the batch and the field, with what was got and what was expected.
    """
    if not isinstance(targets, Sequence) or len(targets) != len(images):
        raise ShapeError(
            f"training needs one target an image: got {len(images)} images and {_number_of(targets)} targets"
        )
    for place, (image, target) in enumerate(zip(images, targets, strict=True)):
        _check_target(f"image {place} of the batch", image, target, tuple(needed))


def _number_of(targets: Any) -> str:
    if targets is None:
        return "none"
    return str(len(targets)) if isinstance(targets, Sequence) else f"a {type(targets).__name__}, not a list, of"


def _check_target(place: str, image: Tensor, target: Any, needed: tuple[str, ...]) -> None:
    if not isinstance(target, Mapping):
        raise ShapeError(f"{place}: got a target of type {type(target).__name__}, expected a dict of tensors")
    if missing := [name for name in needed if name not in target]:
        raise ShapeError(f"{place}: its target has no {missing[0]!r}, only {', '.join(map(repr, target)) or 'nothing'}")
    sizes = {"4": 4, "3": 3, "H": image.shape[-2], "W": image.shape[-1]}
    for name in (*needed, *(name for name in OPTIONAL if name in target)):
        _check_field(f"{place}, {name!r}", FIELDS[name], target[name], sizes)
        if FIELDS[name].is_of_objects:
            sizes.setdefault("G", len(target[name]))  # of the first, the boxes


def _check_field(place: str, field: Field, value: Any, sizes: Mapping[str, int]) -> None:
    if not isinstance(value, Tensor):
        raise ShapeError(f"{place}: got {type(value).__name__}, expected a tensor")
    if isinstance(value, BoundingBoxes) and value.format != BoundingBoxFormat.XYXY:
        raise ShapeError(f"{place}: got boxes of format {value.format.name}, expected XYXY; convert them first")
    fits = len(value.shape) == len(field.sizes) and all(
        got == sizes.get(name, got) for got, name in zip(value.shape, field.sizes, strict=True)
    )
    if not (fits and (value.numel() == 0 or _is_kind(value, field.kind))):
        known = [f"{name} = {sizes[name]}" for name in field.sizes if name.isalpha() and name in sizes]
        raise ShapeError(
            f"{place}: got {value.dtype} of shape {tuple(value.shape)}, expected {field.kind} numbers of shape "
            f"({', '.join(field.sizes)}{',' * (len(field.sizes) == 1)}){' with ' * bool(known)}{', '.join(known)}"
            f"{field.hint}"
        )


def _is_kind(value: Tensor, kind: str) -> bool:
    floating, is_complex = value.is_floating_point(), value.is_complex()
    return {
        "floating point": floating,
        "integer": not (floating or is_complex or value.dtype == torch.bool),
        "real": not is_complex,
    }[kind]


def split_crowds(targets: Targets, needed: Iterable[str]) -> tuple[list[dict[str, Tensor]], list[Tensor] | None]:
    """The objects of each image, by the fields that are read, and the boxes of its crowds; None where none has one."""
    names = {*needed, "weights", "missed"}
    objects = [{name: value for name, value in target.items() if name in names} for target in targets]
    crowds = [_is_crowd(target) for target in targets]
    if not torch.cat(crowds).any():  # crowds are rare; without them nothing has to be picked out
        return objects, None
    regions = [target["boxes"][crowd] for target, crowd in zip(targets, crowds, strict=True)]
    return [
        {name: value[~crowd] if FIELDS[name].is_of_objects else value for name, value in target.items()}
        for target, crowd in zip(objects, crowds, strict=True)
    ], regions


def _is_crowd(target: Mapping[str, Tensor]) -> Tensor:
    return target["iscrowd"].bool() if "iscrowd" in target else torch.zeros_like(target["boxes"][:, 0]).bool()


def weights_of(targets: Targets) -> list[Tensor] | None:
    """What the targets say, 1 for the objects of those that say nothing; None where none does."""
    if not any("weights" in target for target in targets):
        return None
    ones = [torch.ones_like(target["boxes"][:, 0]) for target in targets]
    return [target.get("weights", one).to(one.dtype) for target, one in zip(targets, ones, strict=True)]


def missed_of(targets: Targets) -> list[Tensor] | None:
    """Whether mining found each object missed, as the targets say; None where none does."""
    if not any("missed" in target for target in targets):
        return None
    nothing = [torch.zeros_like(target["boxes"][:, 0]) for target in targets]
    return [target.get("missed", none).bool() for target, none in zip(targets, nothing, strict=True)]
