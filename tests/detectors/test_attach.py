"""What a recipe can be attached to."""

import pytest
from torch import nn

import hardmine as hm
from hardmine.errors import ConfigError


def test_torchvisions_models_are_wrapped_instead(make_model):
    with pytest.raises(ConfigError, match=r"no trainer of their own: use hardmine.wrap\(model, recipe\)"):
        hm.attach(make_model("retinanet"), hm.recipes.hnm())


def test_a_model_of_no_framework_is_named():
    with pytest.raises(ConfigError, match=r"got torch.nn.modules.linear.Linear"):
        hm.attach(nn.Linear(1, 1), hm.recipes.hnm())
