"""aLRP loss and the weights of its box loss against the authors' code.

Two differences:
- Their code fails without positives; ours gives 0 and a gradient of zeros.
- Their box loss goes through the positives in the order of a sort. Where scores are equal, that order is chance, and a
  positive is told that some of its equals are above it and some not. Ours counts all of them, as the paper's condition
  s_k >= s_i says; theirs lies between what the two extreme orders give. The classification side has no such order and
  agrees.
"""

import pytest
import torch
from torch import Tensor

from hardmine import ALRP, ALRPWeight
from hardmine.core.samples import Assignment, Samples
from hardmine.equation.normalize import PerPositive

GOLDEN = ("alrp",)


@pytest.fixture
def box_loss(case, one_class) -> torch.Tensor:
    """(1, N), of the positives in the order in which they appear; with τ = 1/2 it is the paper's E."""
    _, labels = one_class
    return torch.zeros(labels.shape, dtype=torch.float64).masked_scatter(labels >= 0, case.given["reg"].double())


def test_value_and_gradient_agree(case, one_class, box_loss):
    logits, labels = one_class
    loss = ALRP(case.params["delta"])(logits, labels, regression_loss=box_loss)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert bool(case.expected) == bool((case.given["target"] == 1).any())
    if not case.expected:
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
    theirs = case.expected["reg_loss_unweighted"]
    least, most, all_equals = in_any_order(case)
    torch.testing.assert_close(loss, all_equals)
    assert least - 1e-9 <= theirs <= most + 1e-9
    if len(scores_of_positives(case).unique()) == len(scores_of_positives(case)):
        torch.testing.assert_close(loss, theirs)


def scores_of_positives(case) -> Tensor:
    return case.given["logits"].double()[case.given["target"] == 1]


def in_any_order(case) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of Σ E_k / rank_i with k up to i in some order of falling scores: the least, the most, with all equals."""
    own, error, delta = scores_of_positives(case), case.given["reg"].double(), case.params["delta"]
    others = case.given["logits"].double()[case.given["target"] >= 0]
    above = ((others - own[:, None]) / (2 * delta) + 0.5).clamp(0, 1).sum(dim=1)
    rank = above + 0.5  # a positive counts as 1 for itself
    higher = torch.where(own[:, None] < own, error, 0).sum(dim=1)
    equal = torch.where(own[:, None] == own, error, 0).sum(dim=1)
    orders = [higher + up_to_itself(own, error, ascending) for ascending in (True, False)]
    return *((total / rank).mean() for total in orders), ((higher + equal) / rank).mean()


def up_to_itself(own: Tensor, error: Tensor, ascending: bool) -> Tensor:
    """Sum of E over those of equal score that come no later, where small or large ones come first, (P,)."""
    earlier = error[:, None] >= error if ascending else error[:, None] <= error
    first = torch.arange(len(own))[:, None] >= torch.arange(len(own))
    comes = (own[:, None] == own) & torch.where(error[:, None] == error, first, earlier)
    return torch.where(comes, error, 0).sum(dim=1)
