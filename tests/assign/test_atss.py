"""Arguments, and what is special about the adaptive threshold."""

import pytest
import torch

from hardmine import ATSS, BACKGROUND, GroundTruth
from hardmine.core.samples import Levels
from hardmine.errors import ConfigError, ShapeError

ROW = torch.tensor([[[0.0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8], [24, 0, 32, 8]]])
ONE_LEVEL = Levels((4,), (8.0,), (1,))


def matched(boxes: list[list[float]], levels: Levels = ONE_LEVEL, anchors: torch.Tensor = ROW, **options) -> list[int]:
    ground_truth = GroundTruth.from_lists([torch.tensor(boxes)], [torch.zeros(len(boxes), dtype=torch.int64)])
    return ATSS(**options)(anchors, ground_truth, levels=levels).matched_gt[0].tolist()


@pytest.mark.parametrize(
    "options",
    [{"k": 0}, {"box_strides": 0}, {"box_strides": float("nan")}, {"ignore_overlap": 1.5}, {"chunk": 0}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="ATSS needs"):
        ATSS(**options)


def test_levels_are_needed():
    with pytest.raises(ShapeError, match="expected levels with a stride each and 4 samples in all, got None"):
        matched([[0.0, 0, 8, 8]], levels=None)


def test_a_single_candidate_is_positive():
    """In mmdetection the deviation of one number is NaN, and the object finds nothing."""
    assert matched([[0.0, 0, 9, 9]], k=1) == [0, BACKGROUND, BACKGROUND, BACKGROUND]


@pytest.mark.parametrize("num", [3, 5, 6, 7, 9, 10])
def test_candidates_that_overlap_equally_are_all_positive(num):
    """Ten times a tenth, divided by ten, need not be a tenth in floating point."""
    anchors, levels = ROW[:, :1].repeat(1, num, 1), Levels((num,), (8.0,), (num,))
    for side in torch.arange(8, 20, 0.37).tolist():
        assert matched([[0.0, 0, side, 9]], levels, anchors, k=1) == [0] * num


def test_an_anchor_between_two_equal_objects_is_the_firsts():
    assert matched([[0.0, 0, 8, 8], [0.0, 0, 8, 8]])[0] == 0


def test_an_anchor_is_the_objects_that_it_overlaps_most():
    assert matched([[0.0, 0, 16, 16], [0.0, 0, 8, 9]])[0] == 1


def test_a_centre_on_the_border_is_outside():
    assert matched([[4.0, 0, 12, 8]], k=1) == [BACKGROUND] * 4


def test_k_counts_locations_and_not_anchors():
    """Two anchors at each place: one location is two candidates, of which the larger overlap is the only positive."""
    anchors = torch.tensor([[[-8.0, 0, 16, 8], [0, 0, 8, 8], [0, 0, 24, 8], [8, 0, 16, 8]]])
    pairs, box = Levels((4,), (8.0,), (2,)), [0.0, 0, 8.5, 8]
    assert matched([box], Levels((4,), (8.0,), (1,)), anchors, k=1) == [0, -1, -1, -1]
    assert matched([box], pairs, anchors, k=1) == [
        -1,
        -1,
        -1,
        -1,
    ]  # of two unequal numbers none reaches mean + deviation
    assert matched([box], pairs, anchors, k=2) == [-1, 0, -1, -1]


def test_every_level_gives_candidates():
    """The second level's only anchor is far away and takes part all the same: it lowers the threshold."""
    anchors = torch.cat([ROW, torch.tensor([[[200.0, 200, 232, 232]]])], dim=1)
    box = [0.0, 0, 12, 8]
    assert matched([box], Levels((4, 1), (8.0, 32.0), (1, 1)), anchors, k=2)[:2] == [0, -1]
    assert matched([box], Levels((5,), (8.0,), (1,)), anchors, k=2)[:2] == [-1, -1]


def test_padding_is_no_candidate():
    ground_truth = GroundTruth.from_lists([torch.tensor([[0.0, 0, 9, 9]])], [torch.zeros(1, dtype=torch.int64)])
    is_padding = torch.tensor([[True, True, False, False]])
    assigned = ATSS(2)(ROW - 16, ground_truth, is_padding=is_padding, levels=ONE_LEVEL)
    alone = ATSS(2)(ROW[:, 2:] - 16, ground_truth, levels=Levels((2,), (8.0,), (1,)))
    assert assigned.matched_gt[0, 2:].tolist() == alone.matched_gt[0].tolist()


def test_points_are_compared_as_squares_of_so_many_strides():
    """Boxes of no size overlap nothing; as squares of 8 strides they are what the anchors are."""
    anchors = torch.tensor([[[0.0, 0, 64, 64], [8, 0, 72, 64], [16, 0, 80, 64], [0, 0, 128, 128]]])
    centres = (anchors[..., :2] + anchors[..., 2:]) / 2
    points, levels = torch.cat([centres, centres], dim=-1), Levels((3, 1), (8.0, 16.0), (1, 1))
    boxes = [[0.0, 0, 64, 64], [0.0, 0, 130, 120]]
    as_anchors = matched(boxes, levels, anchors, k=3)
    assert as_anchors == matched(boxes, levels, points, k=3, box_strides=8) == [0, -1, -1, 1]


def test_the_iou_that_is_told_is_that_of_the_boxes_as_they_are():
    ground_truth = GroundTruth.from_lists([torch.tensor([[0.0, 0, 8, 8]])], [torch.zeros(1, dtype=torch.int64)])
    plain, squares = (ATSS(box_strides=size)(ROW, ground_truth, levels=ONE_LEVEL).iou for size in (None, 8))
    assert torch.equal(plain, squares)
