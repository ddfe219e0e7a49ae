"""Arguments, ties, and that nothing to keep is no NaN."""

import math

import pytest
import torch

from hardmine import Assignment, PixelOHEM, Samples
from hardmine.equation.normalize import PerSampled
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [{"min_kept": -1}, {"threshold": 0.0}, {"threshold": 1.1}, {"min_kept": 0, "threshold": None}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="PixelOHEM needs"):
        PixelOHEM(**options)


def pixels(loss: torch.Tensor, matched: int = -1) -> Samples:
    return Samples(Assignment(torch.full(loss.shape, matched), torch.zeros(loss.shape)), classification_loss=loss)


def test_nothing_to_keep_is_a_loss_of_zero_not_of_nan():
    """Others' code takes a mean of nothing."""
    for samples in (pixels(torch.full((2, 9), 1e-3)), pixels(torch.full((2, 9), 5.0), matched=-2)):
        loss = samples["classification_loss"].clone().requires_grad_()
        weights = PixelOHEM(0)(samples)
        assert (weights == 0).all()
        total = (weights * loss / PerSampled()(samples.assignment, weights)).sum()
        total.backward()
        assert total == 0
        assert (loss.grad == 0).all()


@pytest.mark.parametrize("threshold", [0.7, None])
def test_equal_pixels_are_kept_up_to_the_least_number(threshold):
    """By comparing with the k-th smallest probability, none would be."""
    assert PixelOHEM(4, threshold)(pixels(torch.full((2, 9), 1e-3))).sum() == 8


def test_the_images_of_a_batch_are_one_contest():
    loss = torch.tensor([[0.3, 0.2, 0.1], [0.01, 0.02, 0.03]])
    assert PixelOHEM(1)(pixels(loss)).tolist() == [[1, 1, 0], [0, 0, 0]]


def test_on_the_threshold_is_sure_enough():
    loss = torch.tensor([[-math.log(0.7), -math.log(0.69), -math.log(0.71)]], dtype=torch.float64)
    assert PixelOHEM(0)(pixels(loss)).tolist() == [[0, 1, 0]]
    assert PixelOHEM(0, 1.0)(pixels(torch.tensor([[0.0, 1e-6]]))).tolist() == [[0, 1]]
