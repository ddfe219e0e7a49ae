"""Backbones with a feature pyramid: any convolutional classification network of torchvision, and a tiny one of our own.

The tiny one comes twice, by what Faster R-CNN puts on it: "tiny", with torchvision's RoI features, and "micro", with
fewer proposals and coarser features, which do for objects of a few dozen pixels. Other detectors are the same on both.

What suits a backbone beside it (pyramid width, head depth, image size) is one row of `FAMILIES`: networks made for
phones and CPUs get a detector of their own weight, the others torchvision's usual sizes.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from hardmine.detectors.torchvision.weights import imagenet_network
from hardmine.errors import ConfigError, check_name

__all__ = ["OWN_NETWORKS", "Family", "Pyramid", "TwoLevels", "family_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """Sizes of a detector on a family of backbones.

    dense_strides, roi_strides: of the pyramid's levels, in pixels, for one- and two-stage detectors; what the network
    itself does not reach (one or two levels) is made from its last.
    channels: of every level.  head_depth: convolutions before RetinaNet's and FCOS's outputs.
    roi_features: width of the RoI head.  roi_anchor: side of Faster R-CNN's anchors, in strides.
    proposals, roi_samples: that an image gives to the RoI head in training, and of which that trains on so many.
    test_proposals: that an image gives to the RoI head when it predicts.
    roi_bins, roi_points: RoIAlign's features of a proposal, so many a side, each the mean of so many points a side.
    image_size: the image's shorter side, in pixels.
    segmenter_strides: of the two maps of features that a segmenter sees, the finer one first.
    """

    dense_strides: tuple[int, ...]
    roi_strides: tuple[int, ...]
    channels: int
    head_depth: int
    roi_features: int
    roi_anchor: int
    proposals: int
    roi_samples: int
    image_size: int
    test_proposals: int = 1000
    roi_bins: int = 7
    roi_points: int = 2
    segmenter_strides: tuple[int, int] = (8, 16)


TINY = Family(
    dense_strides=(4, 8, 16, 32),
    roi_strides=(4, 8, 16, 32),
    channels=32,
    head_depth=1,
    roi_features=128,
    roi_anchor=4,
    proposals=256,
    roi_samples=64,
    image_size=128,
    segmenter_strides=(4, 16),
)
FAMILIES = {
    "tiny": TINY,
    "micro": replace(
        TINY,
        roi_strides=(4, 8, 16),
        proposals=128,
        roi_samples=32,
        test_proposals=256,
        roi_bins=5,
        roi_points=1,
    ),
    "light": Family(
        dense_strides=(8, 16, 32, 64),
        roi_strides=(8, 16, 32, 64),
        channels=96,
        head_depth=2,
        roi_features=256,
        roi_anchor=4,
        proposals=500,
        roi_samples=128,
        image_size=352,
    ),
    "full": Family(
        dense_strides=(8, 16, 32, 64, 128),
        roi_strides=(4, 8, 16, 32, 64),
        channels=256,
        head_depth=4,
        roi_features=1024,
        roi_anchor=8,
        proposals=2000,
        roi_samples=512,
        image_size=800,
    ),
}
OWN_NETWORKS = ("tiny", "micro")
LIGHT = ("mobilenet", "efficientnet_b0", "mnasnet", "shufflenet", "squeezenet", "regnet_x_400mf", "regnet_y_400mf")
FROZEN_BELOW = 8  # pretrained stages of finer stride keep their weights, as in torchvision's detectors


def family_of(backbone: str) -> Family:
    """The sizes that suit a backbone.

    Raises: ConfigError: torchvision has no such network.
    """
    if backbone in OWN_NETWORKS:
        return FAMILIES[backbone]
    check_name("backbone", backbone, models.list_models(module=models))
    return FAMILIES["light" if backbone.startswith(LIGHT) else "full"]


class Pyramid(nn.Module):
    """A network's feature maps at the given strides, brought to one number of channels by an FPN.

    Lin et al., Feature Pyramid Networks, CVPR 2017, arXiv:1612.03144. Maps are named "0", "1", ... from the finest.
    ImageNet weights come with fixed BatchNorm statistics and a fixed stem, as in torchvision's detectors.

    Raises: ConfigError: the network has no feature maps at these strides, or its weights cannot be had.
    """

    def __init__(self, backbone: str, strides: Sequence[int], channels: int, *, imagenet: bool, load: bool):
        super().__init__()
        body = _tiny_network() if backbone in OWN_NETWORKS else _body(_network(backbone, imagenet and load))
        stages = _stages(body, backbone)
        own = [stride for stride in strides if stride in stages]
        extra = len(strides) - len(own)
        if not own or extra > 2 or own != list(strides[: len(own)]):
            raise ConfigError(
                f"backbone {backbone!r} has feature maps at strides {sorted(stages)}, not {tuple(strides)}"
            )
        if imagenet:
            _fix_batch_norm(body)
            _fix_stem(body, stages)
        names = {stages[stride].name: str(i) for i, stride in enumerate(own)}
        top = {0: None, 1: LastLevelMaxPool(), 2: LastLevelP6P7(channels, channels)}[extra]
        self.body = IntermediateLayerGetter(body, return_layers=names)
        self.fpn = FeaturePyramidNetwork([stages[stride].channels for stride in own], channels, extra_blocks=top)
        self.out_channels = channels
        self.levels = tuple(names.values())
        self.is_channels_last = any(stages[stride].is_channels_last for stride in own)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images)
        if self.is_channels_last:
            maps = {name: level.permute(0, 3, 1, 2) for name, level in maps.items()}
        return self.fpn(maps)


class TwoLevels(nn.Module):
    """A network's maps of features at two strides, as a segmenter looks at them, under the names that it gives them.

    Stages of a coarser stride keep that of the second map: their steps of 2 become 1 and their later convolutions are
    dilated, as in torchvision's segmenters. ImageNet weights come with fixed BatchNorm statistics and a fixed stem.

    Raises: ConfigError: the network has no feature maps at these strides, or its weights cannot be had.
    """

    def __init__(
        self, backbone: str, strides: tuple[int, int], names: tuple[str, str], *, imagenet: bool, load: bool
    ) -> None:
        super().__init__()
        body = _tiny_network() if backbone in OWN_NETWORKS else _body(_network(backbone, imagenet and load))
        _dilate_below(body, strides[1], backbone)
        stages = _stages(body, backbone)
        if max(stages) != strides[1] or strides[0] not in stages:
            raise ConfigError(f"backbone {backbone!r} has feature maps at strides {sorted(stages)}, not {strides}")
        if imagenet:
            _fix_batch_norm(body)
            _fix_stem(body, stages)
        kept = {names[0]: stages[strides[0]], names[1]: stages[strides[1]]}
        self.body = IntermediateLayerGetter(body, return_layers={stage.name: name for name, stage in kept.items()})
        self.channels = tuple(stage.channels for stage in kept.values())
        self.channels_last = frozenset(name for name, stage in kept.items() if stage.is_channels_last)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images)
        return {
            name: level.permute(0, 3, 1, 2) if name in self.channels_last else level for name, level in maps.items()
        }


def _dilate_below(body: nn.Sequential, stride: int, backbone: str) -> None:
    """Lets what comes behind the maps of this stride keep it, and see as far as it did."""
    names = [name for name, _ in body.named_children()]
    stages = _stages(body, backbone)
    if stride not in stages:
        return
    behind = names[names.index(stages[stride].name) + 1 :]
    for layer in (layer for name in behind for layer in body.get_submodule(name).modules()):
        if isinstance(layer, nn.Conv2d):
            _dilate(layer)


def _dilate(layer: nn.Conv2d) -> None:
    if layer.stride != (1, 1):
        layer.stride = (1, 1)
    elif layer.kernel_size != (1, 1):
        layer.dilation = (2, 2)
        layer.padding = tuple(side - 1 for side in layer.kernel_size)


@dataclass(frozen=True, slots=True)
class Stage:
    """The last of a network's children at one stride; Swin's maps have their channels last."""

    name: str
    channels: int
    is_channels_last: bool


def _network(backbone: str, load: bool) -> nn.Module:
    return imagenet_network(backbone) if load else models.get_model(backbone, weights=None)


def _body(network: nn.Module) -> nn.Sequential:
    """The convolutional part, as a chain of children that can be run one after the other."""
    for name in ("features", "layers"):
        part = getattr(network, name, None)
        if isinstance(part, nn.Sequential):
            return part
    if isinstance(network, models.RegNet):
        return nn.Sequential(OrderedDict([("stem", network.stem), *network.trunk_output.named_children()]))
    heads = ("avgpool", "fc", "classifier", "head", "heads")
    return nn.Sequential(OrderedDict((name, part) for name, part in network.named_children() if name not in heads))


@torch.no_grad()
def _stages(body: nn.Sequential, backbone: str) -> dict[int, Stage]:
    """The last child at each stride, found by running a blank image through a copy in eval mode."""
    side, stages = 128, {}
    was_training = body.training
    maps = torch.zeros(1, 3, side, side)
    body.eval()
    try:
        for name, child in body.named_children():
            maps = child(maps)
            _, first, second, third = maps.shape
            is_last = first == second != third  # of a square image, the sides are the two that are equal
            stages[side // second] = Stage(name, third if is_last else first, is_last)
    except (RuntimeError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise ConfigError(f"backbone {backbone!r} gives no chain of feature maps: {error}") from error
    body.train(was_training)
    return stages


def _fix_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            fixed = FrozenBatchNorm2d(child.num_features, child.eps)
            fixed.load_state_dict(child.state_dict())
            setattr(module, name, fixed)
        else:
            _fix_batch_norm(child)


def _fix_stem(body: nn.Sequential, stages: dict[int, Stage]) -> None:
    last = max((stride for stride in stages if stride < FROZEN_BELOW), default=None)
    for name, child in body.named_children():
        if last is None:
            return
        child.requires_grad_(False)
        if name == stages[last].name:
            return


def _tiny_network() -> nn.Sequential:
    """Five 3x3 stages with GroupNorm, 16 to 96 channels, strides 2 to 16: trains from scratch on small batches."""
    widths = ((3, 16, 2), (16, 32, 2), (32, 48, 2), (48, 64, 2), (64, 96, 1))
    return nn.Sequential(*(_tiny_stage(*width) for width in widths))


def _tiny_stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
        nn.GroupNorm(8, channels),
        nn.ReLU(inplace=True),
    )
