"""A detector is built by the framework that its name says."""

import pytest

from hardmine.detectors import build
from hardmine.errors import ConfigError


def test_a_detector_without_classes_is_refused():
    with pytest.raises(ConfigError, match="at least one class, got 0"):
        build("retinanet", 0, backbone="tiny")


def test_an_unknown_framework_is_named():
    with pytest.raises(ConfigError, match="unknown framework 'mmdet'"):
        build("mmdet:retinanet", 3)


def test_a_backbone_is_torchvisions_alone():
    with pytest.raises(
        ConfigError, match="ultralytics:yolo11n has a backbone of its own; leave backbone='resnet50' out"
    ):
        build("ultralytics:yolo11n", 3, backbone="resnet50")
