"""Models of torchvision that are not adapted are named."""

import pytest
import torchvision

from hardmine import recipes
from hardmine.detectors.torchvision import adapt
from hardmine.errors import ConfigError


def test_a_network_that_is_no_detector_is_named():
    with pytest.raises(ConfigError, match=r"ResNet; expected torchvision's FasterRCNN, RetinaNet, SSD or FCOS"):
        adapt(torchvision.models.resnet18(), recipes.random())
