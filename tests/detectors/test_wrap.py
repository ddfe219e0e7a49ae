"""Which models can be wrapped."""

import pytest
from torch import nn

from hardmine import recipes, wrap
from hardmine.detectors.torchvision.faster_rcnn import FasterRCNNDetector
from hardmine.detectors.torchvision.fcos import FCOSDetector
from hardmine.detectors.torchvision.retinanet import RetinaNetDetector
from hardmine.detectors.torchvision.ssd import SSDDetector
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fasterrcnn", FasterRCNNDetector),
        ("maskrcnn", FasterRCNNDetector),
        ("keypointrcnn", FasterRCNNDetector),
        ("fcos", FCOSDetector),
        ("retinanet", RetinaNetDetector),
        ("ssd", SSDDetector),
        ("ssdlite", SSDDetector),
    ],
)
def test_each_of_torchvisions_detectors_has_its_adapter(name, kind, make_model):
    detector = wrap(make_model(name), recipes.random())
    assert type(detector) is kind
    assert detector.num_classes == 3


def test_another_model_is_named():
    with pytest.raises(
        ConfigError, match=r"got torch\.nn\.modules\.linear\.Linear; expected a detector of torchvision, ultralytics"
    ):
        wrap(nn.Linear(1, 1), recipes.random())
