"""Arguments, and what is special about a matching one to one."""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, GroundTruth, Hungarian
from hardmine.core.samples import Assignment, Predictions
from hardmine.errors import ConfigError, ShapeError

QUERIES = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 12, 12], [50, 50, 60, 60]]])


def assigned(objects, scores=(0.5, 0.5, 0.5), boxes=QUERIES, is_padding=None, **options) -> Assignment:
    ground_truth = GroundTruth.from_lists([torch.tensor(objects)], [torch.zeros(len(objects), dtype=torch.int64)])
    predictions = Predictions(boxes, torch.tensor(scores)[None, :, None])
    return Hungarian(**options)(QUERIES, ground_truth, is_padding=is_padding, predictions=predictions)


@pytest.mark.parametrize(
    "options",
    [
        {"cls_weight": -1},
        {"l1_weight": -1},
        {"cls_weight": 0, "l1_weight": 0, "iou_weight": 0},
        {"class_cost": "dice"},
        {"alpha": 2},
        {"gamma": -1},
        {"unit_px": 0},
        {"cls_weight": float("nan")},
        {"iou_weight": float("nan")},
        {"gamma": float("nan")},
        {"unit_px": float("nan")},
        {"ignore_overlap": 2},
        {"chunk": 0},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="Hungarian"):
        Hungarian(**options)


def test_predictions_are_needed():
    ground_truth = GroundTruth.from_lists([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)])
    with pytest.raises(ShapeError, match="expected predictions"):
        Hungarian()(QUERIES, ground_truth)


def test_the_whole_costs_least_and_not_each_object():
    """Both objects want the first query; the second object can do with the second query better than the first can."""
    objects = [[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 11.0, 11.0]]
    assert assigned(objects).matched_gt[0].tolist() == [0, 1, BACKGROUND]


def test_with_fewer_queries_than_objects_the_costliest_go_without():
    objects = [[0.0, 0, 10, 10], [300, 300, 320, 320], [0, 0, 12, 12], [50, 50, 60, 60]]
    assert assigned(objects).matched_gt[0].tolist() == [0, 2, 3]


def test_every_part_of_the_cost_counts():
    objects = [[0.0, 0.0, 10.0, 10.0]]
    only = {"cls_weight": 0, "l1_weight": 0, "iou_weight": 0}
    scores = (0.1, 0.2, 0.9)
    assert assigned(objects, scores, **only | {"cls_weight": 1}).matched_gt[0].tolist() == [-1, -1, 0]
    assert assigned(objects, scores, **only | {"cls_weight": 1}, class_cost="probability").matched_gt[0, 2] == 0
    assert assigned(objects, scores, **only | {"l1_weight": 1}).matched_gt[0].tolist() == [0, -1, -1]
    assert assigned(objects, scores, **only | {"iou_weight": 1}).matched_gt[0].tolist() == [0, -1, -1]


def test_a_larger_unit_makes_distance_count_less():
    objects, scores = [[0.0, 0.0, 10.0, 10.0]], (0.1, 0.1, 0.9)
    assert assigned(objects, scores, iou_weight=0, unit_px=10.0).matched_gt[0].tolist() == [0, -1, -1]
    assert assigned(objects, scores, iou_weight=0, unit_px=1e4).matched_gt[0].tolist() == [-1, -1, 0]


def test_padding_is_matched_to_nothing_whatever_it_holds():
    is_padding, poisoned = torch.tensor([[True, False, False]]), QUERIES.clone()
    poisoned[:, 0] = torch.nan
    assert assigned([[0.0, 0, 10, 10]], boxes=poisoned, is_padding=is_padding).matched_gt[0].tolist() == [IGNORE, 0, -1]


def test_a_prediction_that_is_not_a_number_is_the_last_choice():
    poisoned = QUERIES.clone()
    poisoned[:, 0] = torch.nan
    assert assigned([[0.0, 0, 10, 10]], boxes=poisoned).matched_gt[0].tolist() == [-1, 0, -1]
    assert assigned([[0.0, 0, 10, 10]] * 3, boxes=poisoned).is_positive.all()


def test_another_default_device_changes_nothing():
    ground_truth = GroundTruth.from_lists([QUERIES[0, :2]], [torch.zeros(2, dtype=torch.int64)])
    predictions = Predictions(QUERIES, torch.full((1, 3, 1), 0.5))
    with torch.device("meta"):  # a training on a GPU may have set that one
        assignment = Hungarian()(QUERIES, ground_truth, predictions=predictions)
    assert assignment.matched_gt[0].tolist() == [0, 1, BACKGROUND]
