"""What every normaliser must keep to."""

import pytest
import torch

from hardmine.core.samples import Assignment
from hardmine.equation.normalize import PerValid
from hardmine.testing.contract import captured

SOFT = (0.0, 0.25, 1.0)


def weights_for(matched_gt, dtype=torch.float32):
    weights = torch.tensor(SOFT)[torch.randint(0, 3, matched_gt.shape)].to(dtype)
    quality = torch.where(matched_gt >= 0, torch.rand(matched_gt.shape), 0).to(dtype)
    return Assignment(matched_gt, torch.zeros(matched_gt.shape), quality), weights.masked_fill(matched_gt == -2, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_z_has_the_dtype_of_the_weights(normalizer, dtype):
    assert normalizer(*weights_for(torch.randint(-2, 3, (2, 9)), dtype)).dtype == dtype


def test_z_is_one_number_or_one_an_image_and_at_least_one_sample(normalizer, matched_gt):
    assignment, weights = weights_for(matched_gt)
    z = normalizer(assignment, weights)
    rows = len(matched_gt) if normalizer.over == "image" else 1
    assert z.shape == (rows, 1)
    assert torch.isfinite(z).all()
    assert (z >= rows).all()


def test_z_does_not_depend_on_the_order_of_samples(normalizer, matched_gt):
    assignment, weights = weights_for(matched_gt)
    order = torch.randperm(matched_gt.shape[1])
    permuted = normalizer(assignment.gather(order.expand_as(matched_gt)), weights[:, order])
    torch.testing.assert_close(permuted, normalizer(assignment, weights))


def test_images_add_up_or_count_alike(normalizer, matched_gt):
    assignment, weights = weights_for(matched_gt)
    images = range(len(matched_gt))
    image = [Assignment(matched_gt[b, None], assignment.iou[b, None], assignment.quality[b, None]) for b in images]
    alone = [normalizer(image[b], weights[b, None]) for b in images]
    z = normalizer(assignment, weights)
    if normalizer.over == "image":
        torch.testing.assert_close(z, len(alone) * torch.cat(alone))
    else:  # an image alone is never divided by less than one sample, so their sum may be larger
        assert max(alone) <= z <= sum(alone)


def test_weights_a_class_count_by_their_mean_but_valid_ones_each(normalizer):
    assignment, weights = weights_for(torch.randint(-2, 3, (2, 9)))
    per_class = normalizer(assignment, weights.unsqueeze(-1).expand(*weights.shape, 4))
    times = 4 if isinstance(normalizer, PerValid) else 1
    torch.testing.assert_close(per_class, times * normalizer(assignment, weights))


def test_no_gradient_flows_through_z(normalizer):
    assignment, weights = weights_for(torch.randint(-2, 3, (2, 9)))
    assert not normalizer(assignment, weights.requires_grad_()).requires_grad


def test_is_captured_as_one_graph_once(normalizer):
    with captured(normalizer) as compiled:
        for _ in range(2):
            assignment, weights = weights_for(torch.randint(-2, 3, (2, 9)))
            torch.testing.assert_close(compiled(assignment, weights), normalizer(assignment, weights))
