"""Arguments, and what is special about dynamic numbers and least costs."""

import pytest
import torch

from hardmine import BACKGROUND, GroundTruth, SimOTA
from hardmine.core.samples import Levels, Predictions
from hardmine.errors import ConfigError, ShapeError

POINTS = torch.tensor([[[x * 8.0, 0, x * 8 + 8, 8] for x in range(6)]])  # centres 4, 12, ..., 44 and 4
LEVELS = Levels((6,), (8.0,), (1,))


def matched(objects, boxes=None, scores=None, **options) -> list[int]:
    """Of objects of one class; by default every prediction is the first object, with a score of a half."""
    objects = torch.tensor(objects)
    ground_truth = GroundTruth.from_lists([objects], [torch.zeros(len(objects), dtype=torch.int64)])
    boxes = objects[:1].expand(6, 4) if boxes is None else torch.tensor(boxes)
    scores = torch.full((6,), 0.5) if scores is None else torch.tensor(scores)
    predictions = Predictions(boxes[None], scores[None, :, None])
    return SimOTA(**options)(POINTS, ground_truth, levels=LEVELS, predictions=predictions).matched_gt[0].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"center_radius": 0},
        {"candidates": 0},
        {"center_radius": float("nan")},
        {"iou_weight": -1},
        {"cls_weight": -1},
        {"ignore_overlap": 2},
        {"chunk": 0},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="SimOTA needs"):
        SimOTA(**options)


def test_levels_and_predictions_are_needed():
    ground_truth = GroundTruth.from_lists([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)])
    predictions = Predictions(POINTS, torch.zeros(1, 6, 2))
    with pytest.raises(ShapeError, match="expected levels"):
        SimOTA()(POINTS, ground_truth, predictions=predictions)
    with pytest.raises(ShapeError, match="expected predictions"):
        SimOTA()(POINTS, ground_truth, levels=LEVELS)


def test_an_object_takes_as_many_as_its_overlaps_add_up_to():
    box = [0.0, 0.0, 48.0, 8.0]
    half, elsewhere = [0.0, 0.0, 24.0, 8.0], [900.0, 900.0, 910.0, 910.0]
    scores = [0.1, 0.4, 0.9, 0.8, 0.3, 0.3]
    assert matched([box], [half] * 6, scores) == [-1, 0, 0, 0, -1, -1]  # 6 halves: the 3 best named within 20 pixels
    assert matched([box], [half] * 6, scores, candidates=4) == [-1, -1, 0, 0, -1, -1]
    assert matched([box], [elsewhere] * 6, scores) == [-1, -1, 0, -1, -1, -1]  # at least one


def test_class_and_overlap_weigh_as_they_are_told():
    box, half = [0.0, 0.0, 48.0, 8.0], [0.0, 0.0, 8.0, 8.0]
    boxes, scores = [half, half, box, half, half, half], [0.5, 0.5, 0.01, 0.99, 0.5, 0.5]
    assert matched([box], boxes, scores, candidates=1, iou_weight=9)[2:4] == [0, -1]
    assert matched([box], boxes, scores, candidates=1, cls_weight=9)[2:4] == [-1, 0]


def test_near_and_inside_comes_before_all_else():
    """The point at 12 predicts the object perfectly, but it is not inside; the point at 4 is, and knows nothing."""
    box = [0.0, 0.0, 10.0, 8.0]
    boxes, scores = [[40.0, 0, 48, 8], box, box, box, box, box], [0.01, 0.99, 0.99, 0.99, 0.99, 0.99]
    assert matched([box], boxes, scores, candidates=1) == [0, -1, -1, -1, -1, -1]


def test_an_object_with_no_point_inside_takes_a_near_one():
    assert sorted(matched([[6.0, 2.0, 9.0, 3.0]], candidates=1)) == [-1] * 5 + [0]


def test_an_object_outside_of_the_image_takes_nobody():
    """Where the reference gives it any point that some other object could have."""
    inside, outside = [24.0, 0.0, 48.0, 8.0], [500.0, 500.0, 520.0, 520.0]
    assert set(matched([inside, outside], candidates=1)) == {BACKGROUND, 0}


def test_a_contested_point_costs_least_for_its_object():
    """All predict the second object; both want the point in the middle most."""
    first, second = [0.0, 0.0, 24.0, 8.0], [0.0, 0.0, 24.0, 9.0]
    boxes, scores = [second] * 6, [0.3, 0.9, 0.3, 0.3, 0.3, 0.3]
    assert matched([first, second], boxes, scores, candidates=1)[:3] == [-1, 1, -1]


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_saturated_scores_still_have_an_order(score):
    box = [0.0, 0.0, 48.0, 8.0]
    boxes = [[0.0, 0, x, 8] for x in (8.0, 16.0, 24.0, 40.0, 32.0, 8.0)]
    assert matched([box], boxes, [score] * 6, candidates=1) == [-1, -1, -1, 0, -1, -1]
