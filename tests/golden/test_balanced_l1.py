"""Balanced L1 against mmdetection's and the authors' (Libra R-CNN; the two agree).

One difference, where beta is not 1. Both have (α/b) (b|d| + 1) in front of the logarithm, whose derivative is not the
paper's α ln(b|d|/β + 1); its slope at 0 is α/β - α, so for β = 2 their loss is below 0 near the
target and smallest beside it. Ours has (α/b) (b|d| + β), which is the equation's integral.
"""

import math

import torch

from hardmine import BalancedL1

GOLDEN = ("balanced_l1",)
ALPHA, GAMMA = 0.5, 1.5
B = math.exp(GAMMA / ALPHA) - 1


def theirs_is_more(distance: torch.Tensor, beta: float) -> torch.Tensor:
    """Their loss less ours: (α/b) (1 - β) ln(b|d|/β + 1) up to β, and what that is at β beyond."""
    return ALPHA / B * (1 - beta) * (B * distance.clamp_max(beta) / beta + 1).log()


def test_losses_and_gradients_agree(case):
    predicted = case.given["pred"].double().requires_grad_()
    target, weight, beta = case.given["target"].double(), case.given["weight"], case.params["beta"]
    loss = BalancedL1(ALPHA, GAMMA, beta)(predicted[None], target[None])[0]
    difference = theirs_is_more((predicted - target).abs(), beta)
    if len(predicted) == 0:  # they give one 0 for no elements
        assert loss.shape == predicted.shape
        return
    torch.testing.assert_close(loss + difference, case.expected["none"])
    if "libra_none" in case.expected:
        torch.testing.assert_close(loss + difference, case.expected["libra_none"], check_dtype=False)
    number = max(len(predicted), 1) + torch.finfo(torch.float32).eps  # mmdetection's mean
    total = ((loss + difference) * weight).sum() / number
    (gradient,) = torch.autograd.grad(total, predicted)
    torch.testing.assert_close(total.detach(), case.expected["loss"], check_dtype=False)
    torch.testing.assert_close(gradient, case.expected["grad_pred"])
    assert (difference == 0).all() == (beta == 1 or bool((predicted == target).all()))


def test_their_loss_is_negative_for_beta_above_1_and_ours_is_not(case):
    """Where b|d| < β - 1, since (u + 1) ln(1 + u/β) < u there."""
    predicted, target, beta = case.given["pred"].double(), case.given["target"].double(), case.params["beta"]
    distance = (predicted - target).abs()
    if len(predicted) == 0:  # they give one 0 for no elements
        return
    assert (case.expected["none"][(distance > 0) & (B * distance < beta - 1)] < 0).all()
    assert (BalancedL1(ALPHA, GAMMA, beta)(predicted[None], target[None]) >= 0).all()
    if beta <= 1:
        assert (case.expected["none"] >= 0).all()
