"""aLRP loss and the weights of its box loss against the authors' code.

Two differences:
- Their code fails without positives; ours gives 0 and a gradient of zeros.
- Their box loss goes through the positives in the order of a sort. Where scores are equal, that order is chance, and a
  positive is told that some of its equals are above it and some not. Ours counts all of them, as the paper's condition
  s_k >= s_i says; so with equal scores ours is the larger. The classification side has no such order and agrees.
"""

import pytest
import torch

from hardmine import ALRP, ALRPWeight
from hardmine.normalize import PerPositive
from hardmine.samples import Assignment, Samples

GOLDEN = ("alrp",)
EQUAL_SCORES = ("extreme", "ties", "const")


@pytest.fixture
def box_loss(case, one_class) -> torch.Tensor:
    """(1, N), of the positives in the order in which they appear; with τ = 1/2 it is the paper's E."""
    _, labels = one_class
    return torch.zeros(labels.shape, dtype=torch.float64).masked_scatter(labels >= 0, case.given["reg"].double())


def test_value_and_gradient_agree(case, one_class, box_loss):
    logits, labels = one_class
    loss = ALRP(case.params["delta"])(logits, labels, regression_loss=box_loss)
    (gradient,) = torch.autograd.grad(loss, logits)
    if not case.expected:
        assert case.kind == "no_pos"
        assert loss == 0
        assert (gradient == 0).all()
        return
    torch.testing.assert_close(loss.detach(), case.expected["loss"])
    torch.testing.assert_close(gradient.flatten(), case.expected["grad_logits"])


def test_box_loss_agrees_but_for_the_order_of_equal_scores(case, one_class, box_loss):
    logits, labels = one_class
    assignment = Assignment(labels, torch.zeros_like(box_loss))
    weights = ALRPWeight(case.params["delta"])(Samples(assignment, labels=labels, logits=logits))
    loss = ((weights * box_loss).sum() / PerPositive("batch")(assignment, weights)).squeeze()
    if not case.expected:
        assert loss == 0
        return
    scores = case.given["logits"][case.given["target"] == 1]
    assert (case.kind in EQUAL_SCORES) == (len(scores.unique()) < len(scores))
    if case.kind in EQUAL_SCORES:
        assert loss > case.expected["reg_loss_unweighted"] * 1.01
    else:
        torch.testing.assert_close(loss, case.expected["reg_loss_unweighted"])
