"""Arguments, extreme scores, and what the ratio of gradients does to the weights."""

import pytest
import torch

from hardmine import EFL, Assignment, CrossEntropy, Samples
from hardmine.errors import ConfigError


def samples(logits: list[float], label: int) -> Samples:
    labels = torch.full((1, len(logits)), label)
    rows = torch.tensor([logits]).unsqueeze(-1).requires_grad_()
    return Samples(Assignment(labels, torch.zeros(labels.shape)), labels=labels, logits=rows)


@pytest.mark.parametrize("options", [{"gamma": 0.0}, {"scale": -1.0}, {"gamma": float("nan")}], ids=str)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="EFL needs gamma > 0 and scale >= 0, got"):
        EFL(3, **options)
    with pytest.raises(ConfigError, match=r"alpha must be in \[0, 1\] or None, got 2"):
        EFL(3, alpha=2)


@pytest.mark.parametrize("label", [0, -1])
def test_loss_and_gradient_are_finite_where_the_authors_are_not(label):
    """peers.md: inf and NaN at extreme logits."""
    batch = samples([-1e4, -90.0, -50.0, 50.0, 90.0, 1e4], label)
    loss = EFL(1)(batch) * CrossEntropy("sigmoid")(batch.logits, batch.labels)
    (gradient,) = torch.autograd.grad(loss.sum(), batch.logits)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()


def test_a_class_in_need_is_focused_more_and_raised():
    """Its easy samples count less beside its hard ones, and its hard ones more than another class's."""
    needy, settled = EFL(1), EFL(1)
    needy.negative.fill_(1)
    batch = samples([-3.0, 3.0], -1)
    easy, hard = needy(batch)[0, :, 0].tolist()
    settled_easy, settled_hard = settled(batch)[0, :, 0].tolist()
    assert hard > settled_hard
    assert easy / hard < settled_easy / settled_hard


def test_a_class_with_more_positive_gradient_than_it_needs_is_in_balance():
    above, fresh = EFL(1), EFL(1)
    above.positive.fill_(7)
    above.negative.fill_(1)
    batch = samples([-1.0, 2.0], 0)
    assert torch.equal(above(batch), fresh(batch))
