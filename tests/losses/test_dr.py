"""Arguments, images without positives or negatives, and hard examples."""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, DRLoss
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [{"L": 0.0}, {"tau": 0.0}, {"positive_lambda": 0.0}, {"negative_lambda": -1.0}, {"margin": float("nan")}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(
        ConfigError, match="DRLoss needs L, tau, positive_lambda, negative_lambda > 0 and a finite margin, got"
    ):
        DRLoss(**options)


def test_an_image_without_positives_still_pushes_its_negatives_down():
    logits = torch.randn(1, 4, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(DRLoss()(logits, torch.full((1, 4), BACKGROUND)), logits)
    assert gradient.max() > 0


def test_an_image_without_negatives_pushes_its_positives_up():
    logits = torch.randn(1, 4, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(DRLoss()(logits, torch.zeros(1, 4, dtype=torch.int64)), logits)
    assert gradient.min() < 0


def test_images_of_which_nothing_counts_are_not_averaged_over():
    logits, labels = torch.randn(2, 4, 2), torch.tensor([[0, 1, BACKGROUND, IGNORE], [IGNORE] * 4])
    torch.testing.assert_close(DRLoss()(logits, labels), DRLoss()(logits[:1], labels[:1]))


def test_the_hardest_negative_is_pushed_most():
    """By its share of the distribution, for scores that are equally far from saturation."""
    logits = torch.tensor([[[2.0], [-2.0], [2.0]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(DRLoss()(logits, torch.tensor([[BACKGROUND, BACKGROUND, 0]])), logits)
    hard, easy = gradient[0, :2, 0].tolist()
    assert hard > 10 * abs(easy)


def test_temperatures_near_zero_do_not_overflow():
    logits, labels = torch.randn(1, 50, 3), torch.randint(-1, 3, (1, 50))
    assert torch.isfinite(DRLoss(positive_lambda=1e-30, negative_lambda=1e-30)(logits, labels))
