"""Arguments, and what sets QFL, VFL, MAL and IA-BCE apart; the numbers are compared in oracle/ and golden/."""

import pytest
import torch

from hardmine import BACKGROUND, IABCE, IGNORE, MAL, QFL, VFL
from hardmine.errors import ConfigError

ALL = [QFL(), VFL(), MAL(), IABCE()]
NAMES = ["QFL", "VFL", "MAL", "IABCE"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QFL(-1), "QFL needs beta >= 0, got -1"),
        (lambda: VFL(-0.5), "VFL needs alpha >= 0, got -0.5"),
        (lambda: VFL(gamma=-2), "VFL needs gamma >= 0, got -2"),
        (lambda: MAL(-1), "MAL needs gamma >= 0, got -1"),
        (lambda: IABCE(gamma=-1), "IABCE needs gamma >= 0, got -1"),
        (lambda: IABCE(1.5), r"alpha must be in \[0, 1\] or None, got 1.5"),
        (lambda: QFL(float("nan")), "QFL needs beta >= 0, got nan"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("loss", ALL, ids=NAMES)
def test_quality_is_asked_for_and_matters_only_to_positives(loss):
    assert loss.needs == {"quality"}
    logits, labels = torch.randn(1, 3, 4), torch.tensor([[2, BACKGROUND, IGNORE]])
    first, second = (loss(logits, labels, quality=torch.tensor([[0.4, q, q]])) for q in (0.0, 0.9))
    assert torch.equal(first, second)
    assert not torch.equal(first, loss(logits, labels, quality=torch.tensor([[0.5, 0, 0]])))
    with pytest.raises(TypeError, match="quality"):
        loss(logits, labels)


@pytest.mark.parametrize("loss", ALL, ids=NAMES)
def test_whatever_is_known_of_a_negative_its_gradient_is_finite(loss):
    logits, labels = torch.randn(1, 3, 4, requires_grad=True), torch.tensor([[2, BACKGROUND, IGNORE]])
    values = loss(logits, labels, quality=torch.tensor([[0.4, torch.nan, torch.inf]]))
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", ALL, ids=NAMES)
def test_a_head_without_classes_has_no_loss(loss):
    labels = torch.tensor([[BACKGROUND, IGNORE]])
    assert loss(torch.zeros(1, 2, 0), labels, quality=torch.zeros(1, 2)).shape == (1, 2, 0)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("quality", [0.5, 0.0, 1.0])
def test_qfl_at_its_minimum_has_a_finite_gradient(beta, quality):
    """|y - p|^β has an infinite slope at p = y for β < 1, and the cross entropy beside it is not 0 there."""
    logits = torch.tensor([[[{0.5: 0.0, 0.0: -200.0, 1.0: 200.0}[quality]]]], requires_grad=True)
    loss = QFL(beta)(logits, torch.tensor([[0]]), quality=torch.tensor([[quality]]))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient == 0


def test_a_positive_without_quality_is_a_negative_for_vfl_and_qfl_but_not_for_mal():
    logits, labels, quality = torch.randn(1, 1, 3), torch.tensor([[1]]), torch.zeros(1, 1)
    background = torch.tensor([[BACKGROUND]])
    for loss in (QFL(), VFL(), VFL(iou_weighted=False)):
        torch.testing.assert_close(loss(logits, labels, quality=quality), loss(logits, background, quality=quality))
    assert (MAL()(logits, labels, quality=quality) > MAL()(logits, background, quality=quality))[0, 0, 1]


def test_mal_counts_a_positive_of_low_quality_more_than_vfl():
    """What it was made for (its paper's figure 2)."""
    logits, labels, quality = torch.full((1, 1, 1), -3.0), torch.tensor([[0]]), torch.tensor([[0.05]])
    assert MAL()(logits, labels, quality=quality) > VFL()(logits, labels, quality=quality)


def test_ia_bce_tells_a_positive_with_a_useless_box_to_be_unlikely_but_not_impossible():
    logits = torch.tensor([[[-6.0], [0.0], [6.0]]], requires_grad=True)
    loss = IABCE()(logits, torch.zeros(1, 3, dtype=torch.int64), quality=torch.zeros(1, 3))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(gradient, logits.detach().sigmoid() - 0.01)
