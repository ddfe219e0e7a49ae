"""A weighted sum is what the equation says, whatever stands where the weight is 0."""

import pytest
import torch

from hardmine import CrossEntropy, Slot, from_function
from hardmine.core.samples import Assignment, Samples
from hardmine.equation.normalize import PerValid
from hardmine.equation.slot import LossSlot, per_sample, weighted_sum
from hardmine.errors import ShapeError


@pytest.mark.parametrize("columns", [(), (3,)])
def test_losses_of_weight_0_count_nothing_even_where_they_are_not_finite(columns):
    loss, weights = torch.rand(2, 5, *columns), torch.rand(2, 5, *columns)
    weights[0, 0], loss[0, 0] = 0, torch.inf
    z = torch.tensor([[2.0], [4.0]])
    expected = sum((loss[b].isfinite() * weights[b] * loss[b].nan_to_num(posinf=0)).sum() / z[b, 0] for b in range(2))
    torch.testing.assert_close(weighted_sum(loss, weights, z), expected)


def test_one_weight_a_sample_counts_for_all_its_losses():
    loss, weights = torch.rand(2, 5, 3), torch.rand(2, 5)
    torch.testing.assert_close(
        weighted_sum(loss, weights, torch.ones(1, 1)), (loss * weights.unsqueeze(-1)).sum(), rtol=1e-6, atol=0
    )


def test_weights_of_other_numbers_than_the_losses_are_named():
    sampling = from_function(lambda samples: torch.ones(*samples.assignment.iou.shape, 7))
    slot = LossSlot(sampling, CrossEntropy("sigmoid"), PerValid(), Slot())
    samples = Samples(Assignment(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4)))
    with pytest.raises(ShapeError, match=r"weights \(1, 4, 7\), but CrossEntropy gives losses \(1, 4, 3\)"):
        slot.sum(torch.rand(1, 4, 3), samples, torch.ones(1, 4))


def test_what_a_sample_has_lost_is_the_sum_of_its_losses_without_gradient():
    loss = torch.rand(2, 5, 3, requires_grad=True)
    assert torch.equal(per_sample(loss), loss.detach().sum(-1))
    assert not per_sample(loss[..., 0]).requires_grad
