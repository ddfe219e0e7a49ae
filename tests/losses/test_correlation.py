"""Arguments, and lists of which no correlation can be told."""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, Correlation
from hardmine.errors import ConfigError

KINDS = pytest.mark.parametrize("kind", ["concordance", "pearson"])
LOGITS = torch.tensor([[[-1.0], [0.0], [2.0], [5.0], [9.0]]])
LABELS = torch.tensor([[0, 0, 0, BACKGROUND, IGNORE]])


def lose(kind: str, logits: torch.Tensor, iou: torch.Tensor, labels: torch.Tensor = LABELS) -> torch.Tensor:
    """Also looks whether the gradient is there, and finite."""
    leaf = logits.clone().requires_grad_()
    loss = Correlation(kind, 1.0)(leaf, labels, predicted_iou=iou)
    assert torch.isfinite(torch.autograd.grad(loss, leaf)[0]).all()
    return loss.detach()


@pytest.mark.parametrize("arguments", [("spearman",), ("pearson", -1.0), ("pearson", 1.0, "tanh")], ids=str)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match="got"):
        Correlation(*arguments)


@KINDS
def test_fewer_than_two_positives_have_no_correlation(kind):
    for label in (torch.full_like(LABELS, BACKGROUND), torch.tensor([[0, -1, -1, -1, -1]])):
        assert lose(kind, LOGITS, torch.rand(1, 5), label) == 0


@KINDS
@pytest.mark.parametrize("iou", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("logit", [-4.6, 0.3, 50.0])
def test_where_nothing_varies_there_is_no_correlation(kind, logit, iou):
    """Of 1000 equal numbers the mean is not always that number."""
    labels = torch.zeros(1, 1000, dtype=torch.int64)
    assert lose(kind, torch.full((1, 1000, 1), logit), torch.full((1, 1000), iou), labels) == 0


def test_where_only_the_boxes_vary_pearsons_is_not_defined_and_concordance_is_none():
    labels, iou = torch.zeros(1, 1000, dtype=torch.int64), torch.linspace(0, 1, 1000)[None]
    same = torch.full((1, 1000, 1), -4.6)
    assert lose("pearson", same, iou, labels) == 0
    torch.testing.assert_close(lose("concordance", same, iou, labels), torch.tensor(1.0))


@KINDS
def test_scores_that_are_the_qualities_have_no_loss(kind):
    torch.testing.assert_close(lose(kind, LOGITS, LOGITS[..., 0].sigmoid()), torch.tensor(0.0), atol=1e-6, rtol=0)


@KINDS
def test_scores_against_the_qualities_have_the_largest_loss(kind):
    assert lose(kind, LOGITS, 1 - LOGITS[..., 0].sigmoid()) > 1


def test_concordance_sees_scale_and_shift_and_pearsons_does_not():
    iou = 0.5 * LOGITS[..., 0].sigmoid()
    assert lose("concordance", LOGITS, iou) > 0.1
    torch.testing.assert_close(lose("pearson", LOGITS, iou), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_the_weight_multiplies():
    iou = torch.rand(1, 5)
    plain, weighted = (Correlation(weight=weight)(LOGITS, LABELS, predicted_iou=iou) for weight in (1.0, 0.2))
    torch.testing.assert_close(weighted, 0.2 * plain)
