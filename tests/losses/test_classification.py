"""Arguments; the numbers are compared in oracle/ and golden/."""

import pytest
import torch

from hardmine import BalancedCE, CrossEntropy, Focal
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "make",
    [
        lambda: CrossEntropy("tanh"),
        lambda: BalancedCE(1.5),
        lambda: Focal(-1.0),
        lambda: Focal(alpha=-0.1),
    ],
)
def test_arguments_out_of_range_are_refused(make):
    with pytest.raises(ConfigError, match="got"):
        make()


def test_labels_are_not_changed_and_need_no_one_hot_copy():
    labels = torch.tensor([[0, -1, -2]])
    before = labels.clone()
    Focal()(torch.randn(1, 3, 2), labels)
    assert torch.equal(labels, before)


@pytest.mark.parametrize("loss", [CrossEntropy("sigmoid"), Focal()])
def test_a_head_without_classes_has_no_loss(loss):
    assert loss(torch.zeros(1, 3, 0), torch.tensor([[-1, -1, -2]])).shape == (1, 3, 0)
