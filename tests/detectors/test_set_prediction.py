"""Queries, objects and boxes of the DETR family, translated to padded batches."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou_loss

from hardmine.core.boxes import paired_iou
from hardmine.core.samples import BACKGROUND
from hardmine.detectors.set_prediction import box_iou, box_losses, matched_objects, objects_of, to_pixels

SIZE = torch.tensor([200.0, 100.0, 200.0, 100.0])
NUM_QUERIES = 7


def some_boxes(*shape: int) -> Tensor:
    return torch.cat([torch.rand(*shape, 2) * 0.4 + 0.3, torch.rand(*shape, 2) * 0.3 + 0.05], dim=-1)


def some_indices(num_objects: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randperm(NUM_QUERIES)[:num], torch.randperm(num)) for num in num_objects]


def test_boxes_become_corners_in_pixels():
    assert to_pixels(torch.tensor([0.5, 0.5, 0.2, 0.4]), SIZE).tolist() == pytest.approx([80, 30, 120, 70])


@pytest.mark.parametrize("num_objects", [(2, 0, 3), (0, 0), (1,)])
def test_objects_are_those_of_the_targets(num_objects):
    targets = [{"classes": torch.randint(5, (num,)), "boxes": some_boxes(num)} for num in num_objects]
    ground_truth = objects_of(targets, "classes", SIZE)
    assert ground_truth.is_object.sum(1).tolist() == list(num_objects)
    for b, target in enumerate(targets):
        assert torch.equal(ground_truth.labels[b, : num_objects[b]], target["classes"])
        assert torch.equal(ground_truth.boxes[b, : num_objects[b]], to_pixels(target["boxes"], SIZE))


@pytest.mark.parametrize("num_objects", [(2, 0, 3), (0, 0), (1,)])
def test_every_pair_is_an_object_of_its_query_and_all_others_are_background(num_objects):
    indices = some_indices(num_objects)
    matched = matched_objects(indices, NUM_QUERIES, torch.device("cpu"))
    for of_image, (query, of) in zip(matched, indices, strict=True):
        assert torch.equal(of_image[query], of)
    assert (matched != BACKGROUND).sum(1).tolist() == list(num_objects)


def test_several_queries_may_have_one_object():
    indices = [(torch.tensor([4, 1]), torch.tensor([0, 0]))]
    assert matched_objects(indices, 5, torch.device("cpu")).tolist() == [[-1, 0, -1, -1, 0]]


def test_box_losses_are_those_of_each_positive():
    predicted, goal = some_boxes(2, NUM_QUERIES), some_boxes(2, NUM_QUERIES)
    is_positive = torch.rand(2, NUM_QUERIES) < 0.5
    distance, overlap = box_losses(predicted, goal, is_positive)
    corners = (box_convert(boxes, "cxcywh", "xyxy") for boxes in (predicted, goal))
    expected = generalized_box_iou_loss(*corners)
    torch.testing.assert_close(distance, torch.where(is_positive, (predicted - goal).abs().sum(-1), 0))
    torch.testing.assert_close(overlap, torch.where(is_positive, expected, 0))


def test_the_iou_of_a_query_is_that_of_its_box_with_its_goal():
    predicted, goal = some_boxes(2, NUM_QUERIES), some_boxes(2, NUM_QUERIES)
    is_positive = torch.rand(2, NUM_QUERIES) < 0.5
    corners = (box_convert(boxes, "cxcywh", "xyxy") for boxes in (predicted, goal))
    expected = torch.where(is_positive, paired_iou(*corners), 0)
    torch.testing.assert_close(box_iou(predicted, goal, is_positive), expected)


def test_predictions_of_half_precision_are_compared_in_single():
    predicted, goal = some_boxes(1, NUM_QUERIES).bfloat16(), some_boxes(1, NUM_QUERIES)
    is_positive = torch.ones(1, NUM_QUERIES, dtype=torch.bool)
    assert {loss.dtype for loss in box_losses(predicted, goal, is_positive)} == {torch.float32}


def test_what_is_no_positive_may_be_anything():
    predicted, goal = torch.full((1, 3, 4), torch.nan), torch.full((1, 3, 4), torch.inf)
    predicted.requires_grad_()
    losses = box_losses(predicted, goal, torch.zeros(1, 3, dtype=torch.bool))
    sum(loss.sum() for loss in losses).backward()
    assert not any(loss.any() for loss in losses)
    assert not predicted.grad.any()


def test_no_pair_at_all_has_losses_with_a_gradient():
    predicted = torch.zeros(0, 4, requires_grad=True)
    losses = box_losses(predicted, torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
    assert all(loss.requires_grad and loss.sum() == 0 for loss in losses)


def test_a_box_without_extent_has_the_gradient_that_clamped_sides_have():
    predicted = torch.tensor([[[0.3, 0.3, 0.0, 0.1]]], requires_grad=True)
    goal = torch.tensor([[[0.4, 0.4, 0.5, 0.5]]])
    box_losses(predicted, goal, torch.ones(1, 1, dtype=torch.bool))[1].sum().backward()
    assert predicted.grad.isfinite().all()
