"""Building a torchvision segmenter for a data set: its head on two maps of features of a backbone.

The heads are torchvision's, but for their normalisation: GroupNorm in place of BatchNorm, as RetinaNet has it here.
Batches of a few crops are too small for statistics of their own, and two processes would each have others.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torchvision.models.segmentation import FCN, LRASPP, DeepLabV3
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from hardmine.detectors.torchvision.backbones import TwoLevels, family_of
from hardmine.detectors.torchvision.weights import load_file
from hardmine.errors import ConfigError

__all__ = ["SEGMENTERS", "build_segmenter"]

GROUPS = 16  # of channels, in GroupNorm
INNER_CHANNELS = 128
"""Of LR-ASPP's head, torchvision's own number."""
RATES = (6, 12, 18)
"""Dilations of DeepLabV3's head for maps of stride 16."""


def build_segmenter(segmenter: str, num_classes: int, *, backbone: str, weights: str, load: bool) -> nn.Module:
    """A torchvision segmenter for ``num_classes`` classes, background included where there is one.

    Args: segmenter: a key of `SEGMENTERS`.  Others as of `build`; images are taken as large as they are.
    Raises: ConfigError: unknown names, a single class, or weights that cannot be had.
    """
    if num_classes < 2:
        raise ConfigError(f"a segmenter needs 2 classes or more, background included; got {num_classes}")
    if weights == "coco":
        raise ConfigError(f"there are no COCO weights of {segmenter} here; give none, imagenet or a file")
    make, names = SEGMENTERS[segmenter]
    imagenet = weights == "imagenet"
    levels = TwoLevels(backbone, family_of(backbone).segmenter_strides, names, imagenet=imagenet, load=load)
    model = make(levels, num_classes)
    if load and weights not in ("none", "imagenet"):
        load_file(model, weights)
    return model


def _lraspp(levels: TwoLevels, num_classes: int) -> LRASPP:
    low, high = levels.channels
    return LRASPP(levels, low, high, num_classes, INNER_CHANNELS)


def _deeplabv3(levels: TwoLevels, num_classes: int) -> DeepLabV3:
    return DeepLabV3(levels, DeepLabHead(levels.channels[1], num_classes, RATES))


def _fcn(levels: TwoLevels, num_classes: int) -> FCN:
    fine, coarse = levels.channels
    return FCN(levels, FCNHead(coarse, num_classes), FCNHead(fine, num_classes))


def _on_small_batches(make: Callable[[TwoLevels, int], Any], levels: TwoLevels, num_classes: int) -> nn.Module:
    """The model with GroupNorm in its heads; the backbone stays as it is."""
    model = make(levels, num_classes)
    for name, part in model.named_children():
        if name != "backbone":
            _normalise_by_groups(part)
    return model


def _normalise_by_groups(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            groups = next(number for number in range(GROUPS, 0, -1) if child.num_features % number == 0)
            setattr(module, name, nn.GroupNorm(groups, child.num_features))
        else:
            _normalise_by_groups(child)


SEGMENTERS: dict[str, tuple[Callable[[TwoLevels, int], nn.Module], tuple[str, str]]] = {
    "lraspp": (partial(_on_small_batches, _lraspp), ("low", "high")),
    "deeplabv3": (partial(_on_small_batches, _deeplabv3), ("aux", "out")),
    "fcn": (partial(_on_small_batches, _fcn), ("aux", "out")),
}
"""How each is made, and what it calls the finer and the coarser of its maps."""
