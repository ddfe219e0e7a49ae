"""How much the box loss counts beside the classification loss."""

import pytest
import torch

from hardmine.losses import EqualTasks


@pytest.mark.parametrize(
    ("classification", "regression", "factor"), [(6.0, 2.0, 3.0), (6.0, 0.0, 0.0), (0.0, 2.0, 0.0)]
)
def test_both_tasks_become_equally_large(classification, regression, factor):
    losses = torch.tensor(classification, requires_grad=True), torch.tensor(regression, requires_grad=True)
    result = EqualTasks()(*losses)
    assert result == factor
    assert not result.requires_grad
