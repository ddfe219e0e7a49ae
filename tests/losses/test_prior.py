"""Which layers a prior can be given to; what it gives is in oracle/."""

import pytest
from torch import nn

from hardmine.errors import ConfigError
from hardmine.losses import initialize_prior


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (nn.Linear(2, 6), {"prior": 0}, r"prior must be in \(0, 1\), got 0"),
        (nn.Linear(2, 6), {"prior": 1.0}, r"prior must be in \(0, 1\)"),
        (nn.Linear(2, 6, bias=False), {}, "a bias of a multiple of 3 numbers, got None"),
        (nn.Linear(2, 7), {}, "a bias of a multiple of 3 numbers, got 7"),
        (nn.Linear(2, 6), {"background": 0}, "background column of a softmax head, and of no other"),
        (nn.Linear(2, 6), {"activation": "softmax"}, "background column of a softmax head"),
    ],
)
def test_what_does_not_fit_is_refused(layer, options, message):
    with pytest.raises(ConfigError, match=message):
        initialize_prior(layer, 3, **({"activation": "sigmoid"} | options))


def test_weights_stay_as_they_are():
    layer = nn.Linear(2, 6)
    before = layer.weight.clone()
    initialize_prior(layer, 3, "sigmoid")
    assert (layer.weight == before).all()
    assert layer.bias.requires_grad
