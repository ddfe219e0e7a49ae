"""Arguments, and what is special about the alignment of both tasks."""

import pytest
import torch

from hardmine import BACKGROUND, GroundTruth, TaskAligned
from hardmine.core.samples import Assignment, Predictions
from hardmine.errors import ConfigError, ShapeError

ANCHORS = torch.tensor([[[0.0, 0, 8, 8], [2, 2, 10, 10], [4, 4, 12, 12], [40, 40, 48, 48]]])
OBJECT = [0.0, 0.0, 12.0, 12.0]


def assigned(scores: list[float], boxes: torch.Tensor = ANCHORS, objects=(OBJECT,), **options) -> Assignment:
    """Of objects of one class, with a score for each of the four anchors."""
    ground_truth = GroundTruth.from_lists([torch.tensor(objects)], [torch.zeros(len(objects), dtype=torch.int64)])
    predictions = Predictions(boxes, torch.tensor(scores)[None, :, None])
    return TaskAligned(**options)(ANCHORS, ground_truth, predictions=predictions)


@pytest.mark.parametrize(
    "options",
    [{"k": 0}, {"alpha": -1}, {"beta": float("nan")}, {"rank_over": "some"}, {"ignore_overlap": 2}, {"chunk": 0}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="TaskAligned"):
        TaskAligned(**options)


@pytest.mark.parametrize(
    "predictions",
    [None, Predictions(torch.zeros(1, 3, 4), torch.zeros(1, 3, 2)), Predictions(ANCHORS, torch.zeros(2, 4, 2))],
    ids=["none", "too few", "another batch"],
)
def test_predictions_that_do_not_fit_are_refused(predictions):
    ground_truth = GroundTruth.from_lists([torch.tensor([OBJECT])], [torch.zeros(1, dtype=torch.int64)])
    with pytest.raises(ShapeError, match="expected predictions"):
        TaskAligned()(ANCHORS, ground_truth, predictions=predictions)


def test_class_and_box_count_as_their_exponents_say():
    boxes = torch.tensor([[OBJECT, [0.0, 0, 6, 12], [0.0, 0, 6, 12], OBJECT]])  # IoU 1, .5, .5; the last lies outside
    scores = [0.1, 0.9, 0.8, 1.0]
    assert assigned(scores, boxes, k=1, alpha=1, beta=6).matched_gt[0].tolist() == [0, -1, -1, -1]
    assert assigned(scores, boxes, k=1, alpha=6, beta=1).matched_gt[0].tolist() == [-1, 0, -1, -1]


def test_the_best_aligned_has_the_largest_iou_as_quality():
    boxes = torch.tensor([[OBJECT, [0.0, 0, 6, 12], [0.0, 0, 6, 12], OBJECT]])
    assignment = assigned([0.1, 0.8, 0.4, 1.0], boxes, alpha=1, beta=1)  # t = .1, .4, .2
    assert assignment.quality[0].tolist() == pytest.approx([0.25, 1.0, 0.5, 0.0])


def test_one_who_scores_nothing_or_overlaps_nothing_is_background():
    elsewhere = ANCHORS.clone()
    elsewhere[:, 1] += 100
    assert assigned([0.0, 0.5, 0.5, 0.5], elsewhere).matched_gt[0].tolist() == [-1, -1, 0, -1]


def test_of_equally_aligned_the_first_are_chosen():
    assert assigned([0.5] * 4, torch.tensor([[OBJECT] * 4]), k=2).matched_gt[0].tolist() == [0, 0, -1, -1]


def test_samples_outside_take_no_place_unless_asked_for():
    boxes = torch.tensor([[[0.0, 0, 6, 12], [0.0, 0, 6, 12], [0.0, 0, 6, 12], OBJECT]])
    assert assigned([0.5] * 4, boxes, k=1).matched_gt[0].tolist() == [0, -1, -1, -1]
    assert assigned([0.5] * 4, boxes, k=1, rank_over="all").matched_gt[0].tolist() == [BACKGROUND] * 4


def test_between_two_objects_the_predicted_box_decides_and_not_the_anchor():
    objects = ([0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 12.0, 12.0])
    boxes = torch.tensor([[objects[1]] * 4])
    assignment = assigned([0.5] * 4, boxes, objects)
    assert assignment.matched_gt[0].tolist() == [1, 1, 1, -1]
    assert assignment.iou[0].tolist() == pytest.approx([1, 64 / 144, 64 / 144, 0])


def test_what_an_object_lost_does_not_count_for_its_quality():
    """The first anchor fits both objects, and goes to the second; the first object's best is then another."""
    objects = ([0.0, 0.0, 12.0, 12.0], [0.0, 0.0, 12.0, 11.0])
    boxes = torch.tensor([[objects[1], [0.0, 0, 6, 12], objects[0], objects[0]]])
    assignment = assigned([1.0, 0.5, 0.0, 0.0], boxes, objects, k=2)
    assert assignment.matched_gt[0].tolist() == [1, 0, -1, -1]
    assert assignment.quality[0].tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0])
