"""Pyramids: levels, channels, and what pretraining fixes."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from hardmine.detectors.torchvision.backbones import Pyramid, TwoLevels, family_of
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    ("backbone", "strides"),
    [
        ("tiny", (4, 8, 16, 32)),
        ("resnet18", (8, 16, 32, 64, 128)),
        ("mobilenet_v3_small", (8, 16, 32, 64)),
        ("swin_t", (8, 16, 32, 64, 128)),
        ("swin_v2_t", (4, 8, 16, 32, 64)),
    ],
)
def test_maps_have_the_strides_and_channels_asked_for(backbone, strides):
    pyramid = Pyramid(backbone, strides, 32, imagenet=False, load=False).eval()
    with torch.no_grad():
        maps = pyramid(torch.rand(1, 3, 128, 128))
    assert [tuple(level.shape) for level in maps.values()] == [(1, 32, 128 // s, 128 // s) for s in strides]


def test_strides_a_network_has_not_are_named():
    with pytest.raises(ConfigError, match=r"backbone 'resnet18' has feature maps at strides .*, not \(3, 8\)"):
        Pyramid("resnet18", (3, 8), 32, imagenet=False, load=False)


def test_pretrained_networks_keep_their_statistics_and_stem():
    pyramid = Pyramid("resnet18", (8, 16, 32), 32, imagenet=True, load=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in pyramid.body.modules())
    assert any(isinstance(module, FrozenBatchNorm2d) for module in pyramid.body.modules())
    frozen = {name for name, parameter in pyramid.body.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all(name.startswith(("conv1", "bn1", "layer1")) for name in frozen)
    assert all(parameter.requires_grad for parameter in pyramid.fpn.parameters())


def test_networks_from_scratch_train_in_full():
    pyramid = Pyramid("resnet18", (8, 16, 32), 32, imagenet=False, load=False)
    assert all(parameter.requires_grad for parameter in pyramid.parameters())


def test_looking_for_the_stages_leaves_the_statistics_alone():
    pyramid = Pyramid("resnet18", (8, 16, 32), 32, imagenet=False, load=False)
    counts = [module.num_batches_tracked.item() for module in pyramid.modules() if isinstance(module, nn.BatchNorm2d)]
    assert counts
    assert not any(counts)
    assert pyramid.training


def test_sizes_suit_the_family():
    assert family_of("tiny").channels < family_of("mobilenet_v2").channels < family_of("resnet50").channels


@pytest.mark.parametrize(("backbone", "strides"), [("tiny", (4, 16)), ("resnet18", (8, 16)), ("mobilenet_v2", (8, 16))])
def test_a_segmenter_sees_two_levels_of_the_whole_network(backbone, strides):
    levels = TwoLevels(backbone, strides, ("low", "high"), imagenet=False, load=False).eval()
    found = levels(torch.rand(1, 3, 128, 128))
    assert {name: 128 // of.shape[-1] for name, of in found.items()} == dict(zip(("low", "high"), strides, strict=True))
    assert tuple(of.shape[1] for of in found.values()) == levels.channels
    names = set(levels.state_dict())
    last = {"tiny": "body.4.0.weight", "resnet18": "body.layer4.1.conv2.weight", "mobilenet_v2": "body.18.0.weight"}
    assert last[backbone] in names


def test_stages_that_keep_the_stride_are_dilated_as_torchvision_does_it():
    levels = TwoLevels("resnet50", (8, 16), ("aux", "out"), imagenet=False, load=False)
    theirs = models.resnet50(weights=None, replace_stride_with_dilation=[False, False, True])
    ours = dict(levels.body.named_modules())
    for name, layer in theirs.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            assert (ours[name].stride, ours[name].dilation, ours[name].padding) == (
                layer.stride, layer.dilation, layer.padding,
            )  # fmt: skip
