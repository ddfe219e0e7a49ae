"""Arguments, and the cases that the conventions are about."""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, GroundTruth, MaxIoU
from hardmine.core.samples import Levels
from hardmine.errors import ConfigError, ShapeError

ANCHORS = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [5, 0, 15, 10], [40, 40, 50, 50]]])


def matched(boxes: list[list[float]], **options) -> list[int]:
    ground_truth = GroundTruth.from_lists([torch.tensor(boxes)], [torch.zeros(len(boxes), dtype=torch.int64)])
    return MaxIoU(**options)(ANCHORS, ground_truth).matched_gt[0].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"positive_iou": 0.3, "negative_iou": 0.4},
        {"negative_iou": -0.1},
        {"positive_iou": 1.1},
        {"min_positive_iou": 2},
        {"ignore_overlap": -1},
        {"force_match": "sometimes"},
        {"chunk": 0},
        {"box_strides": 0.0},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="MaxIoU"):
        MaxIoU(**options)


def test_points_are_compared_as_squares_of_so_many_strides():
    """Boxes of no size overlap nothing; as squares of 8 strides they are what the anchors are."""
    anchors = torch.tensor([[[0.0, 0, 64, 64], [8, 0, 72, 64], [40, 0, 104, 64], [0, 0, 128, 128]]])
    centres = (anchors[..., :2] + anchors[..., 2:]) / 2
    points, levels = torch.cat([centres, centres], dim=-1), Levels((3, 1), (8.0, 16.0), (1, 1))
    boxes = torch.tensor([[0.0, 0, 64, 64], [0.0, 0, 130, 120]])
    ground_truth = GroundTruth.from_lists([boxes], [torch.zeros(2, dtype=torch.int64)])
    as_anchors = MaxIoU()(anchors, ground_truth).matched_gt
    as_squares = MaxIoU(box_strides=8)(points, ground_truth, levels=levels)
    assert as_squares.matched_gt.tolist() == as_anchors.tolist() == [[0, 0, BACKGROUND, 1]]
    assert MaxIoU()(points, ground_truth).matched_gt.tolist() == [[BACKGROUND] * 4]
    with pytest.raises(ShapeError, match="levels"):
        MaxIoU(box_strides=8)(points, ground_truth)


def test_the_three_bands():
    boxes = [[0.0, 0.0, 10.0, 10.0]]
    assert matched(boxes, positive_iou=0.5, negative_iou=0.3, force_match="off") == [0, 0, IGNORE, BACKGROUND]
    assert matched(boxes, positive_iou=0.5, negative_iou=0.4, force_match="off") == [0, 0, BACKGROUND, BACKGROUND]


@pytest.mark.parametrize(
    ("force", "expected"),
    [("off", [-1, -1]), ("take", [0, 0]), ("take_one", [0, -1]), ("keep", [0, 0])],
)
def test_an_object_forces_its_best_anchors(force, expected):
    """A small object, best covered by two equal anchors at IoU .16."""
    assert matched([[0.0, 0.0, 4.0, 4.0]], force_match=force)[:2] == expected


def test_take_serves_the_later_object_and_keep_the_larger_overlap():
    """Both objects have their best overlap with the first two anchors; the first object overlaps them more."""
    boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 4.0, 4.0]]
    assert matched(boxes, force_match="take")[:2] == [1, 1]
    assert matched(boxes, force_match="keep")[:2] == [0, 0]


def test_an_object_that_touches_no_anchor_forces_none():
    assert matched([[100.0, 100.0, 110.0, 110.0]]) == [BACKGROUND] * 4


def test_a_best_overlap_below_the_least_forces_nothing():
    assert matched([[0.0, 0.0, 4.0, 4.0]], min_positive_iou=0.3) == [BACKGROUND] * 4
    assert matched([[0.0, 0.0, 4.0, 4.0]], min_positive_iou=0.1)[:2] == [0, 0]
