"""Arguments, and that chance is all in the noise."""

import pytest
import torch

from hardmine import Assignment, Random, RandomBalanced, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize("options", [{"num": 0}, {"positive_fraction": 1.1}, {"positive_fraction": -0.1}], ids=str)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="RandomBalanced needs"):
        RandomBalanced(**options)


def test_the_largest_noise_is_picked():
    noise = torch.tensor([[0.1, 0.9, 0.5, 0.2, 0.8]])
    samples = Samples(Assignment(torch.tensor([[0, 1, -1, -1, -1]]), noise), noise=noise)
    assert RandomBalanced(3, 0.5)(samples).tolist() == [[0, 1, 1, 0, 1]]


def test_no_positives_are_needed():
    """A share of 0 makes others' code divide by zero."""
    noise = torch.rand(1, 4)
    samples = Samples(Assignment(torch.tensor([[0, 0, -1, -1]]), noise), noise=noise)
    assert RandomBalanced(2, 0.0)(samples).tolist() == [[0, 0, 1, 1]]


def test_random_alone_makes_no_difference_between_positives_and_negatives():
    noise = torch.tensor([[0.1, 0.9, 0.5, 0.2, 0.8]])
    samples = Samples(Assignment(torch.tensor([[0, 1, -1, -1, -2]]), noise), noise=noise)
    assert Random(2)(samples).tolist() == [[0, 1, 1, 0, 0]]
    with pytest.raises(ConfigError, match="Random needs num >= 1, got 0"):
        Random(0)


def test_at_most_so_many_negatives_a_positive():
    noise = torch.tensor([[0.1, 0.9, 0.5, 0.2, 0.8, 0.7]])
    samples = Samples(Assignment(torch.tensor([[0, 1, -1, -1, -1, -1]]), noise), noise=noise)
    assert RandomBalanced(5, 0.2, negatives_per_positive=2)(samples).tolist() == [[0, 1, 0, 0, 1, 1]]
