"""Arguments, what is counted and when."""

import math

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, Seesaw
from hardmine.errors import ConfigError, ShapeError

LABELS = torch.tensor([[0, 0, 1, BACKGROUND, IGNORE]])


@pytest.mark.parametrize(
    "arguments", [(0,), (3, -1.0), (3, 0.8, -1.0), (3, 0.8, 2.0, 0.0), (3, 0.8, 2.0, 2.0)], ids=str
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match=r"Seesaw needs .*, got"):
        Seesaw(*arguments)


def test_samples_are_counted_with_their_background_last_over_all_ranks(monkeypatch):
    loss, logits = Seesaw(3), torch.randn(1, 5, 4)
    loss(logits, LABELS)
    assert loss.counts.tolist() == [2, 1, 0, 1]
    monkeypatch.setattr("hardmine.core.counting.sum_over_ranks", lambda total: 2 * total)
    loss(logits, LABELS)
    assert loss.counts.tolist() == [6, 3, 0, 3]


def test_nothing_is_counted_outside_of_training_or_without_gradient():
    """A two-pass plan looks at all proposals without gradient before it trains on a few."""
    loss, logits = Seesaw(3), torch.randn(1, 5, 4)
    with torch.no_grad():
        loss(logits, LABELS)
    loss.eval()(logits, LABELS)
    assert (loss.counts == 0).all()


def test_the_call_itself_is_counted_first():
    logits = torch.randn(1, 5, 4)
    told, counting = Seesaw(3, q=0.0).eval(), Seesaw(3, q=0.0)
    told.counts.copy_(torch.tensor([2, 1, 0, 1]))
    assert torch.equal(counting(logits, LABELS), told(logits, LABELS))


def test_a_frequent_class_pushes_a_rare_one_down_less():
    loss, logits = Seesaw(2, q=0.0).eval(), torch.zeros(1, 1, 3, requires_grad=True)
    loss.counts.copy_(torch.tensor([1000, 1, 1000]))
    (gradient,) = torch.autograd.grad(loss(logits, torch.tensor([[0]])).sum(), logits)
    rare, background = gradient[0, 0, 1:].tolist()
    assert 0 < rare < 0.01 * background


def test_a_rare_class_that_is_scored_above_the_true_one_is_pushed_down_again():
    logits = torch.tensor([[[0.0, 3.0, 0.0]]])
    assert Seesaw(2)(logits, torch.tensor([[0]])) > Seesaw(2, q=0.0)(logits, torch.tensor([[0]]))


def test_the_background_presses_on_all_classes_alike():
    """It is by far the most frequent; were it a class, a rare one would hardly learn to be silent."""
    logits, labels = torch.zeros(1, 1, 3), torch.tensor([[BACKGROUND]])
    loss, as_class = Seesaw(2).eval(), Seesaw(2, background_is_class=True).eval()
    for method in (loss, as_class):
        method.counts.copy_(torch.tensor([100, 2, 8000]))
    assert loss(logits, labels).item() == pytest.approx(math.log(3))
    assert as_class(logits, labels).item() < 0.1
    rare = torch.tensor([[1]])
    assert loss(logits, rare).item() == pytest.approx(as_class(logits, rare).item())


def test_another_number_of_classes_is_refused():
    with pytest.raises(ShapeError, match=r"Seesaw of 3 classes got logits \(1, 5, 3\)"):
        Seesaw(3)(torch.randn(1, 5, 3), LABELS)
