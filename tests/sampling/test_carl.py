"""Arguments and what is special; values and gradients are compared in oracle/ and golden/."""

import pytest
import torch
from torch import Tensor

from hardmine import CARL, Assignment, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize("options", [{"k": -1}, {"bias": 1.5}, {"base": -1}, {"activation": "tanh"}], ids=str)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=r"CARL needs .* got|unknown activation"):
        CARL(**options)


def samples(logits: Tensor, labels: list[list[int]]) -> Samples:
    matched = torch.tensor(labels)
    return Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("labels", [[[-1, -2]], [[-2, -2]]], ids=str)
def test_without_positives_there_is_nothing_but_the_gradient_stays_connected(activation, labels):
    logits = torch.randn(1, 2, 3, requires_grad=True)
    weights = CARL(base=1, activation=activation)(samples(logits, labels))
    (gradient,) = torch.autograd.grad(weights.sum(), logits)
    assert (weights == 0).all()
    assert (gradient == 0).all()


def test_the_mean_over_the_positives_of_all_images_is_one():
    weights = CARL()(samples(torch.randn(2, 3, 4), [[0, 1, -1], [2, -1, -2]]))
    torch.testing.assert_close(weights.sum(), torch.tensor(3.0))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_where_all_probabilities_underflow_weights_are_relative_still(activation):
    """v is 0 for both in float32, and v / mean(v) would be 0 / 0."""
    low = torch.tensor([[[-300.0, 300.0], [-300.0, 300.0]]]) if activation == "softmax" else torch.full((1, 2, 2), -600)
    logits = low.float().requires_grad_()
    weights = CARL(bias=0, activation=activation)(samples(logits, [[0, 0]]))
    torch.testing.assert_close(weights, torch.ones(1, 2))
    (gradient,) = torch.autograd.grad((weights * torch.tensor([1.0, 3.0])).sum(), logits)
    assert gradient[0, 0, 0] < 0 < gradient[0, 1, 0], "k = 1, b = 0: c is a softmax of log p"


def test_the_score_of_a_box_better_than_the_mean_is_raised():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    loss = CARL()(samples(logits, [[0, 0]])) * torch.tensor([[0.1, 0.9]])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient[0, 0, 0] < 0 < gradient[0, 1, 0]
