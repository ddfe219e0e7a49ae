"""Losses against the papers' equations, number by number, and their limits."""

import math

import pytest
import torch

from hardmine import BACKGROUND, BalancedCE, CrossEntropy, Focal, GIoU, SmoothL1
from hardmine.losses import initialize_prior

LABELS = torch.tensor([[0, 2, BACKGROUND, 1, BACKGROUND]])


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(1, 5, 3, dtype=torch.float64) * 3


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 0.75), (0.0, 0.5), (5.0, None)])
def test_focal_of_sigmoid_scores(logits, gamma, alpha):
    """Eqs. 1 to 5: FL(p_t) = -α_t (1 - p_t)^γ log p_t for each class by itself."""
    loss = Focal(gamma, alpha)(logits, LABELS)
    for i, label in enumerate(LABELS[0].tolist()):
        for c in range(3):
            p = 1 / (1 + math.exp(-logits[0, i, c].item()))
            p_t = p if c == label else 1 - p
            alpha_t = 1 if alpha is None else (alpha if c == label else 1 - alpha)
            assert loss[0, i, c].item() == pytest.approx(-alpha_t * (1 - p_t) ** gamma * math.log(p_t), rel=1e-9)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, None), (0.0, 0.75)])
def test_focal_of_softmax_scores(gamma, alpha):
    logits = torch.randn(1, 5, 4, dtype=torch.float64) * 3
    loss = Focal(gamma, alpha, "softmax")(logits, LABELS)
    for i, label in enumerate(LABELS[0].tolist()):
        exponentials = [math.exp(z) for z in logits[0, i].tolist()]
        p_t = exponentials[label] / sum(exponentials)  # background is -1: the last column
        alpha_t = 1 if alpha is None else (alpha if label >= 0 else 1 - alpha)
        assert loss[0, i].item() == pytest.approx(-alpha_t * (1 - p_t) ** gamma * math.log(p_t), rel=1e-9)


def test_focal_numbers_of_the_paper():
    """At γ = 2 the loss falls 100 times at p_t = .9, about 1000 times at .968, and at most 4 times up to .5."""
    for p, times in ((0.9, 100), (0.968, 976.6), (0.5, 4)):
        logit = torch.tensor([[[math.log(p / (1 - p))]]], dtype=torch.float64)
        label = torch.tensor([[0]])
        ratio = CrossEntropy("sigmoid")(logit, label) / Focal(2.0, None)(logit, label)
        assert ratio.item() == pytest.approx(times, rel=1e-3)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_limits(activation):
    """γ = 0 is cross entropy, α = .5 half of it."""
    logits = torch.randn(1, 5, 3 + (activation == "softmax"))
    cross_entropy = CrossEntropy(activation)(logits, LABELS)
    torch.testing.assert_close(Focal(0.0, None, activation)(logits, LABELS), cross_entropy)
    torch.testing.assert_close(Focal(0.0, 0.5, activation)(logits, LABELS), cross_entropy / 2)
    torch.testing.assert_close(BalancedCE(0.5, activation)(logits, LABELS), cross_entropy / 2)
    torch.testing.assert_close(
        Focal(0.0, 0.75, activation)(logits, LABELS), BalancedCE(0.75, activation)(logits, LABELS)
    )


def test_focal_never_increases_a_loss(logits):
    assert (Focal(2.0, None)(logits, LABELS) <= CrossEntropy("sigmoid")(logits, LABELS)).all()


def test_the_gradient_of_focal_differentiates_the_factor():
    """dFL/dx = (1 - p_t)^γ (γ p_t log p_t + p_t - 1) for a positive."""
    logit = torch.tensor([[[0.3]]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(Focal(2.0, None)(logit, torch.tensor([[0]])).sum(), logit)
    p = 1 / (1 + math.exp(-0.3))
    assert gradient.item() == pytest.approx((1 - p) ** 2 * (2 * p * math.log(p) + p - 1))


@pytest.mark.parametrize("beta", [1.0, 1 / 9, 0.0])
def test_smooth_l1(beta):
    difference = torch.linspace(-2, 2, 16, dtype=torch.float64).view(1, 4, 4)
    loss = SmoothL1(beta)(difference, torch.zeros_like(difference))
    for i, row in enumerate(difference[0].tolist()):
        terms = [d * d / (2 * beta) if abs(d) < beta else abs(d) - beta / 2 for d in row]
        assert loss[0, i].tolist() == pytest.approx(terms)


@pytest.mark.parametrize(
    ("predicted", "target", "loss"),
    [
        ([0.0, 0, 2, 2], [0.0, 0, 2, 2], 0),
        ([0.0, 0, 2, 2], [1.0, 1, 3, 3], 1 - (1 / 7 - 2 / 9)),
        ([0.0, 0, 1, 1], [2.0, 0, 3, 1], 1 - (0 - 1 / 3)),
    ],
)
def test_giou_by_hand(predicted, target, loss):
    boxes = (torch.tensor([[box]], dtype=torch.float64) for box in (predicted, target))
    assert GIoU()(*boxes).item() == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("prior", [0.01, 0.3])
def test_prior_initialisation_gives_the_probability(prior):
    """σ(b) = π, so b = -log((1 - π) / π), -4.595 for 1 %; for softmax all classes together have π."""
    layer = torch.nn.Conv2d(4, 2 * 3, 1)
    initialize_prior(layer, 3, "sigmoid", prior)
    torch.testing.assert_close(layer.bias.sigmoid(), torch.full((6,), prior))
    layer = torch.nn.Linear(4, 2 * 5)
    initialize_prior(layer, 5, "softmax", prior, background=0)
    p = layer.bias.view(2, 5).softmax(dim=-1)
    torch.testing.assert_close(p[:, 1:], torch.full((2, 4), prior / 4))
