"""Losses of regions, Dice and Lovász, from a library that keeps them: to compare with, not to write anew."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import BACKGROUND, IGNORE, Activation
from hardmine.errors import ConfigError, ShapeError, check_name
from hardmine.losses.classification import ClassificationLoss

__all__ = ["from_library"]

OfMasks = Callable[[Tensor, Tensor], Tensor]
LEFT_OUT = -100
"""What ignored pixels are called there: torch's own number for it, and no class of anybody's."""
KEPT_BY = {"dice": "DiceLoss", "lovasz": "LovaszLoss"}
"""Classes of segmentation_models_pytorch.losses, both with `ignore_index` and for several classes at once."""


def from_library(loss: str | OfMasks, weight: float = 1.0, **options: Any) -> ClassificationLoss:
    """A loss of others as one of a head of pixels: one number for the whole batch, which takes no weights.

        Slot(loss=hardmine.losses.from_library("dice"))              # in place of the cross entropy
        Slot(also=hardmine.losses.from_library("lovasz", 0.5))       # beside it

    What a sampling of the slot `select` leaves out is ignored by it. Where all is ignored the loss is 0, whatever the
    library makes of that.

    Args: loss: "dice" or "lovasz", of segmentation-models-pytorch (extra ``bench``), or any function or module of
            logits (B, C, H, W) and classes (B, H, W) that ignores the class -100 and says one number. Where a pixel
            lies it is not told: H is the number of pixels of an image and W is 1.
        weight: what its number is multiplied by.  options: of the library's class.
    Raises: ConfigError: an unknown name, a library that is not installed, options without a name, or weight below 0.
    """
    if not weight >= 0:
        raise ConfigError(f"from_library needs weight >= 0, got {weight}")
    if isinstance(loss, str):
        check_name("loss", loss, KEPT_BY)
        return _FromLibrary(_kept(loss, options), weight)
    if options or not callable(loss):
        raise ConfigError(
            f"from_library needs {' or '.join(KEPT_BY)} with options, or a function without, got {loss!r}, {options}"
        )
    return _FromLibrary(loss, weight)


def _kept(name: str, options: dict[str, Any]) -> OfMasks:
    try:
        from segmentation_models_pytorch import losses  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            f"{name!r} is segmentation-models-pytorch's, which is not installed: pip install 'hardmine[bench]'"
        ) from error
    return getattr(losses, KEPT_BY[name])("multiclass", ignore_index=LEFT_OUT, **options)


class _FromLibrary(ClassificationLoss):
    """Asks what is valid, as libraries do that pick it out, and so waits for the device."""

    listwise = True
    on_device = False

    def __init__(self, loss: OfMasks, weight: float, activation: Activation = "softmax"):
        super().__init__(activation)
        self.loss, self.weight = loss, weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        left_out = labels == IGNORE
        planes = at_least_float32(logits).transpose(1, 2).masked_fill(left_out.unsqueeze(1), 0)
        if left_out.all():
            return (planes.sum() * 0).to(logits.dtype)
        classes = labels.masked_fill(labels == BACKGROUND, planes.shape[1] - 1).masked_fill(left_out, LEFT_OUT)
        found = self.loss(planes.unsqueeze(-1), classes.unsqueeze(-1))
        if found.numel() != 1:
            raise ShapeError(f"{self.loss} says {tuple(found.shape)}; expected one number for the whole batch")
        return (self.weight * found.squeeze()).to(logits.dtype)
