"""Detectors on several networks, and what cannot be built."""

import pytest
import torch

from hardmine import recipes, wrap
from hardmine.detectors import DETECTORS, build
from hardmine.errors import ConfigError

COMBINATIONS = [
    ("retinanet", "resnet18"),
    ("fasterrcnn", "mobilenet_v3_small"),
    ("fcos", "efficientnet_b0"),
    ("ssd", "vgg11_bn"),
    ("ssdlite", "regnet_y_400mf"),
    ("retinanet", "densenet121"),
    *((detector, "tiny") for detector in DETECTORS),
    ("fasterrcnn", "micro"),
    ("cascadercnn", "mobilenet_v3_small"),
    ("cascadercnn", "micro"),
]


@pytest.mark.parametrize(("detector", "backbone"), COMBINATIONS)
def test_a_built_detector_trains_and_detects(detector, backbone):
    model = build(detector, 3, backbone=backbone, image_size=64)
    adapted = wrap(model, recipes.random()).train()
    assert adapted.num_classes == 3
    images = [torch.rand(3, 64, 64), torch.rand(3, 80, 60)]
    boxes, labels = torch.tensor([[5.0, 5, 40, 40]]), torch.tensor([2 + adapted.label_offset])
    targets = [{"boxes": boxes, "labels": labels, "proposals": boxes + 2}] * 2
    losses = adapted(images, targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    with torch.no_grad():
        detections = adapted.eval()(images, targets)
    assert [set(detection) for detection in detections] == [{"boxes", "labels", "scores"}] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"detector": "retinane"}, "unknown detector 'retinane'.*retinanet"),
        ({"backbone": "resnet19"}, "unknown backbone 'resnet19'.*resnet18"),
        ({"backbone": "vit_b_16"}, "backbone 'vit_b_16'"),
        ({"num_classes": 0}, "at least one class, got 0"),
        ({"image_size": 8}, "image_size must be at least 32 pixels, got 8"),
        ({"weights": "nowhere.pth"}, "--weights 'nowhere.pth': expected none, imagenet, coco or the path"),
        ({"weights": "coco"}, "no COCO weights of retinanet on tiny; there are of retinanet on resnet50"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_named(arguments, message):
    given = {"detector": "retinanet", "num_classes": 3, "backbone": "tiny"} | arguments
    with pytest.raises(ConfigError, match=message):
        build(given.pop("detector"), given.pop("num_classes"), **given)


def test_a_reference_architecture_has_our_classes_without_its_weights():
    model = build("ssdlite", 3, backbone="mobilenet_v3_large", weights="coco", load=False)
    assert wrap(model, recipes.random()).num_classes == 3


def test_micro_differs_from_tiny_in_two_stage_detectors_alone():
    for detector in DETECTORS:
        shapes = [
            {name: value.shape for name, value in build(detector, 3, backbone=backbone).state_dict().items()}
            for backbone in ("tiny", "micro")
        ]
        assert (shapes[0] == shapes[1]) == (not detector.endswith("rcnn"))


def test_the_same_seed_builds_the_same_detector():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build("fasterrcnn", 3, backbone="tiny", image_size=64).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
