"""What torchvision's adapters share: where the number of classes is read."""

import pytest

from hardmine import recipes, wrap
from hardmine.errors import ConfigError


@pytest.mark.parametrize("name", ["retinanet", "fcos", "fasterrcnn"])
def test_a_number_that_the_model_has_is_read(name, make_model):
    detector = wrap(make_model(name), recipes.random())
    assert detector.number_at("no.such.place", "training.real") == int(detector.training)


def test_a_number_that_is_nowhere_is_named(make_model):
    detector = wrap(make_model("fasterrcnn"), recipes.random())
    with pytest.raises(ConfigError, match=r"background included, is read from model.first.place or model.second, but"):
        detector.number_at("first.place", "second")
