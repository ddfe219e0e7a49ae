"""Which framework a model or a name is of, and what is said of one that is absent or too new."""

import pytest
import torchvision
from packaging.specifiers import SpecifierSet
from torch import nn

from hardmine.detectors.frameworks import FRAMEWORKS, Framework, framework_of, split_name
from hardmine.errors import ConfigError, FrameworkError


def test_a_name_alone_is_torchvisions():
    assert split_name("retinanet") == ("torchvision", "retinanet")
    assert split_name("ultralytics:yolo11n.yaml") == ("ultralytics", "yolo11n.yaml")


def test_an_unknown_framework_is_named_with_what_looks_like_it():
    with pytest.raises(ConfigError, match=r"unknown framework 'ultralitics'; did you mean ultralytics"):
        split_name("ultralitics:yolo11n")


def test_a_class_of_ones_own_is_of_the_framework_that_it_is_derived_from():
    class Mine(torchvision.models.detection.RetinaNet):
        pass

    assert framework_of(Mine.__new__(Mine)) is FRAMEWORKS["torchvision"]
    with pytest.raises(ConfigError, match=r"got torch.nn.modules.linear.Linear; expected a detector of torchvision"):
        framework_of(nn.Linear(1, 1))


def test_a_framework_that_is_absent_names_what_installs_it():
    with pytest.raises(ConfigError, match=r"no_such_package is not installed: pip install 'hardmine\[some_extra\]'"):
        Framework("no_such_package", SpecifierSet(), "some_extra").adapters()


def test_a_version_that_was_not_tried_is_refused():
    with pytest.raises(FrameworkError, match=rf"torchvision {torchvision.__version__.split('+')[0]}.* \(<0.1\)"):
        Framework("torchvision", SpecifierSet("<0.1")).adapters()
