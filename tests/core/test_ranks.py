"""Sums without processes; with two of them they are tested in training/test_loop.py."""

import pytest
import torch

from hardmine.core.ranks import mean_over_ranks, sum_over_ranks


def test_one_process_is_its_own_sum():
    total = torch.tensor([2.0, 0.5], requires_grad=True)
    summed = sum_over_ranks(total)
    assert torch.equal(summed, total)
    assert not summed.requires_grad
    summed.zero_()
    assert total[0] == 2, "a sum over ranks must not write into what it was given"


@pytest.mark.parametrize(("total", "mean"), [(0.0, 1.0), (0.5, 1.0), (3.0, 3.0)])
def test_a_mean_is_never_below_one(total, mean):
    assert mean_over_ranks(torch.tensor(total)) == mean
