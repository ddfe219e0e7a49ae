"""Segmenters on the backbones of detectors: their sizes, their weights, what is refused."""

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import FCN, LRASPP, DeepLabV3

from hardmine import recipes, wrap
from hardmine.detectors import SEGMENTERS, build
from hardmine.errors import ConfigError

KINDS = {"lraspp": LRASPP, "deeplabv3": DeepLabV3, "fcn": FCN}


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("backbone", ["micro", "mobilenet_v2"])
def test_images_of_any_size_get_scores_of_their_size(name, backbone):
    model = build(name, 4, backbone=backbone)
    assert isinstance(model, KINDS[name])
    segmenter = wrap(model, recipes.random()).eval()
    for size in ((64, 64), (33, 50)):
        with torch.no_grad():
            assert segmenter.scores(torch.rand(1, 3, *size)).shape == (1, 4, *size)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_heads_do_without_statistics_of_a_batch(name):
    model = build(name, 4, backbone="resnet18")
    heads = [part for child, part in model.named_children() if child != "backbone"]
    assert heads
    assert not any(isinstance(layer, nn.BatchNorm2d) for head in heads for layer in head.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.backbone.modules())
    segmenter = wrap(build(name, 4), recipes.random()).train()
    images, masks = torch.rand(3, 3, 32, 32), torch.randint(4, (3, 32, 32))
    for head in (part for part in segmenter.modules() if isinstance(part, nn.Dropout)):
        head.p = 0.0
    whole = segmenter(images, masks)["classification"]
    alone = [segmenter(images[place : place + 1], masks[place : place + 1])["classification"] for place in range(3)]
    torch.testing.assert_close(whole, torch.stack(alone).mean())


def test_weights_of_a_file_are_loaded(tmp_path):
    model = build("lraspp", 3)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    again = build("lraspp", 3, weights=str(tmp_path / "weights.pth"))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "2 classes or more"),
        ({"weights": "coco"}, "no COCO weights of lraspp"),
        ({"backbone": "vgg16"}, r"'vgg16' has feature maps at strides .* not \(8, 16\)"),
        ({"backbone": "resnet81"}, "unknown backbone 'resnet81'"),
    ],
)
def test_what_cannot_be_built_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build("lraspp", **{"num_classes": 3} | options)
