"""What scores say of labels, against the plain formulas; the methods that stand on it are compared in oracle/."""

import pytest
import torch

from hardmine.core.samples import BACKGROUND, IGNORE
from hardmine.core.scores import (
    column_of_label,
    gradient_norm,
    is_label,
    log_probability_of_label,
    of_each_class,
    replace_ignored,
    softmax_cross_entropy,
    softmax_power,
)

LABELS = torch.tensor([[1, BACKGROUND, 0, IGNORE]])
LOGITS = torch.tensor([[[0.5, -1.0, 2.0], [0.1, 0.2, 0.3], [-3.0, 1.0, 0.0], [9.0, 9.0, 9.0]]], dtype=torch.float64)


def test_what_has_no_label_is_in_the_last_column():
    assert column_of_label(LABELS, 3).tolist() == [[1, 2, 0, 2]]


def test_a_class_is_the_label_of_positives_only():
    assert is_label(LABELS, 2).tolist() == [[[False, True], [False, False], [True, False], [False, False]]]


def test_the_probability_of_the_label():
    of_softmax = log_probability_of_label(LOGITS, LABELS, "softmax").exp()[0, :3]
    torch.testing.assert_close(of_softmax, LOGITS[0].softmax(-1)[[0, 1, 2], [1, 2, 0]])
    of_sigmoid = log_probability_of_label(LOGITS, LABELS, "sigmoid").exp()[0, [0, 2]]
    torch.testing.assert_close(of_sigmoid, LOGITS[0].sigmoid()[[0, 2], [1, 0]])


def test_softmax_cross_entropy_is_of_the_label_and_0_where_ignored():
    expected = -LOGITS[0].log_softmax(-1)[[0, 1, 2], [1, 2, 0]]
    torch.testing.assert_close(softmax_cross_entropy(LOGITS, LABELS)[0], torch.cat([expected, torch.zeros(1)]))


def test_ignored_logits_are_replaced_and_have_no_gradient_where_what_is_made_of_them_has_none():
    logits = LOGITS.masked_fill((LABELS == IGNORE).unsqueeze(-1), torch.nan).requires_grad_()
    safe = replace_ignored(logits, LABELS)
    assert safe[0, 3].tolist() == [0, 0, 0]
    assert torch.equal(safe[0, :3], LOGITS[0, :3])
    (gradient,) = torch.autograd.grad(softmax_cross_entropy(safe, LABELS).sum(), logits)
    assert (gradient[0, 3] == 0).all()
    assert (gradient[0, :3] != 0).all()


@pytest.mark.parametrize(("alpha", "of_label", "of_others"), [(None, 1.0, 1.0), (0.25, 0.25, 0.75)])
def test_the_label_is_put_right_and_balanced(alpha, of_label, of_others):
    """1 - p_t is 1 - p of the label and p of all other classes."""
    p = LOGITS.sigmoid()
    expected = torch.where(is_label(LABELS, 3), of_label * (1 - p), of_others * p)
    torch.testing.assert_close(of_each_class(gradient_norm, LOGITS, LABELS, alpha)[0], expected)


def test_the_power_of_what_is_wrong():
    log_p = torch.tensor([0.25, 0.9], dtype=torch.float64).log()
    torch.testing.assert_close(softmax_power(log_p, 2.0), torch.tensor([0.75**2, 0.1**2], dtype=torch.float64))
