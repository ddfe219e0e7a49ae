"""Arguments and what is special; values and the identity with focal loss are compared in oracle/."""

from dataclasses import replace

import pytest
import torch

from hardmine import Assignment, FocalFactor, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options", [{"gamma": -1}, {"gamma": float("nan")}, {"alpha": 1.5}, {"activation": "tanh"}], ids=str
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=r"got|unknown activation 'tanh'"):
        FocalFactor(**options)


def samples(logits: torch.Tensor, labels: list[int]) -> Samples:
    matched = torch.tensor([labels])
    return Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits[None])


def test_one_weight_a_class_or_a_sample():
    evidence = samples(torch.zeros(3, 4), [0, -1, -2])
    assert FocalFactor()(evidence).shape == (1, 3, 4)
    assert FocalFactor(activation="softmax")(evidence).shape == (1, 3)


def test_without_alpha_and_gamma_all_count_once_and_stay_connected():
    logits = torch.randn(3, 4, requires_grad=True)
    weights = FocalFactor(0, None)(samples(logits, [0, -1, 2]))
    assert (weights == 1).all()
    (gradient,) = torch.autograd.grad(weights.sum(), logits)
    assert (gradient == 0).all()


@pytest.mark.parametrize("gamma", [0.5, 0.1])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_gradient_of_a_small_power_is_finite_where_the_score_is_saturated(gamma, activation):
    """Where (1 - p)^γ is taken as it stands its slope is infinite at p = 1, and 0 · inf is NaN."""
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    weights = FocalFactor(gamma, None, activation)(samples(logits, [0, 0]))
    (gradient,) = torch.autograd.grad(weights.sum(), logits)
    assert torch.isfinite(gradient).all()


def test_a_head_without_classes_has_no_weights():
    assert FocalFactor()(samples(torch.zeros(3, 0), [-1, -1, -2])).shape == (1, 3, 0)


def test_no_gradient_where_none_is_wanted():
    evidence = samples(torch.randn(2, 3), [0, -1])
    evidence = replace(evidence, logits=evidence["logits"].requires_grad_())
    with torch.no_grad():
        assert not FocalFactor()(evidence).requires_grad
