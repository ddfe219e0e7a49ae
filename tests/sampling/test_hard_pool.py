"""Arguments, and the pool."""

import pytest
import torch

from hardmine import Assignment, HardPool, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options", [{"num": 0}, {"pool": 0.5}, {"pool": float("nan")}, {"pool": float("inf")}], ids=str
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="HardPool needs"):
        HardPool(**options)


def test_it_draws_from_the_hardest_only_and_from_all_of_them():
    loss = torch.arange(20.0).expand(400, -1)
    samples = Samples(
        Assignment(torch.full(loss.shape, -1), loss), classification_loss=loss, noise=torch.rand(loss.shape)
    )
    often = HardPool(2, pool=4)(samples).sum(dim=0)
    assert often[:12].sum() == 0
    assert (often[12:] - 100).abs().max() < 5 * 75**0.5
