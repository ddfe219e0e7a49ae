"""The closest samples of missed objects become positive, as a plain loop over them says."""

from dataclasses import replace

import pytest
import torch

from hardmine.assign import ATSS, FCOSPoints, Hungarian, MaxIoU, SimOTA, TaskAligned, WithClosest
from hardmine.core.boxes import pairwise_iou
from hardmine.core.samples import BACKGROUND, IGNORE, GroundTruth, Levels
from hardmine.errors import ConfigError

SEEDS = range(20)
IMAGES, SAMPLES, OBJECTS = 3, 60, 5
LEVELS = Levels((40, 20), (8.0, 16.0), (1, 1))


def boxes(*shape, side=40):
    corner = torch.rand(*shape, 2) * side
    return torch.cat([corner, corner + torch.rand(*shape, 2) * side + 1], dim=-1)


def scene(seed):
    """Anchors, objects of which some images have fewer and some are marked, a crowd, and padding."""
    torch.manual_seed(seed)
    counts = torch.randint(0, OBJECTS + 1, (IMAGES,)).tolist()
    objects, marks = [boxes(count) for count in counts], [torch.rand(count) < 0.5 for count in counts]
    labels, crowds = [torch.zeros(count, dtype=torch.int64) for count in counts], [boxes(1) for _ in counts]
    ground_truth = GroundTruth.from_lists(objects, labels, crowds, missed=marks)
    return boxes(IMAGES, SAMPLES), ground_truth, torch.rand(IMAGES, SAMPLES) < 0.2


def closest_by_hand(usual, anchors, ground_truth, is_padding, k, min_iou):
    """Object after object, its candidates in order of IoU."""
    found = usual.clone()
    for b in range(len(anchors)):
        iou = pairwise_iou(ground_truth.boxes[b : b + 1], anchors[b : b + 1])[0]
        iou[~ground_truth.is_object[b]] = 0
        for g in range(iou.shape[0]):
            if not (ground_truth.missed[b, g] and ground_truth.is_object[b, g]):
                continue
            mine = [
                i
                for i in range(iou.shape[1])
                if usual[b, i] < 0 and not is_padding[b, i] and iou[g, i] >= min_iou and iou[:, i].argmax() == g
            ]
            for i in sorted(mine, key=lambda i: -iou[g, i])[:k]:
                found[b, i] = g
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 3, SAMPLES + 1])
@pytest.mark.parametrize("usual", [MaxIoU(), MaxIoU(0.7, 0.3, 0.3, "keep"), ATSS(k=3)], ids=["iou", "rpn", "atss"])
def test_it_is_what_a_loop_over_objects_finds(seed, k, usual):
    anchors, ground_truth, is_padding = scene(seed)
    before = usual(anchors, ground_truth, is_padding=is_padding, levels=LEVELS)
    found = WithClosest(usual, k, 0.1)(anchors, ground_truth, is_padding=is_padding, levels=LEVELS)
    expected = closest_by_hand(before.matched_gt, anchors, ground_truth, is_padding, k, 0.1)
    assert torch.equal(found.matched_gt, expected)
    assert torch.equal(found.iou, before.iou)


def test_what_is_compared_is_not_all_the_same():
    """Of the scenes above some have samples to re-assign, and some objects have fewer than were asked for."""
    added = []
    for seed in SEEDS:
        anchors, ground_truth, is_padding = scene(seed)
        usual = MaxIoU()(anchors, ground_truth, is_padding=is_padding).matched_gt
        expected = closest_by_hand(usual, anchors, ground_truth, is_padding, 3, 0.1)
        added += [((expected != usual) & (expected == g)).sum().item() for g in range(OBJECTS)]
    assert {0, 1, 2, 3} <= set(added)


@pytest.mark.parametrize("seed", SEEDS)
def test_usual_positives_stay_and_nothing_becomes_negative(seed):
    anchors, ground_truth, is_padding = scene(seed)
    usual = MaxIoU()(anchors, ground_truth, is_padding=is_padding).matched_gt
    found = WithClosest(k=3)(anchors, ground_truth, is_padding=is_padding).matched_gt
    assert torch.equal(found[usual >= 0], usual[usual >= 0])
    assert (found[is_padding] == IGNORE).all()
    changed = found != usual
    assert ground_truth.missed.gather(1, found.clamp_min(0))[changed].all()
    assert all((found[b][changed[b]].bincount() <= 3).all() for b in range(IMAGES))


@pytest.mark.parametrize("seed", SEEDS)
def test_without_marks_it_is_the_assigner_itself(seed):
    anchors, ground_truth, is_padding = scene(seed)
    usual = MaxIoU()(anchors, ground_truth, is_padding=is_padding)
    for missed in (None, torch.zeros_like(ground_truth.is_object)):
        found = WithClosest(k=3)(anchors, replace(ground_truth, missed=missed), is_padding=is_padding)
        assert torch.equal(found.matched_gt, usual.matched_gt)


def one_image(objects, missed, crowds=None):
    labels = torch.zeros(len(objects), dtype=torch.int64)
    regions = None if crowds is None else [torch.tensor(crowds)]
    return GroundTruth.from_lists([torch.tensor(objects)], [labels], regions, missed=[torch.tensor(missed)])


ANCHOR = torch.tensor([[[0.0, 0, 10, 10]]])
OFF = MaxIoU(force_match="off")


def closest(**options):
    return WithClosest(OFF, **{"min_iou": 0.1} | options)


def test_an_object_that_nothing_touches_gets_nothing():
    ground_truth = one_image([[50.0, 50, 60, 60]], [True])
    assert closest(k=3)(ANCHOR, ground_truth).matched_gt.tolist() == [[BACKGROUND]]


def test_what_hardly_touches_an_object_is_none_of_it():
    ground_truth = one_image([[9.0, 9, 19, 19]], [True])
    assert closest(k=3)(ANCHOR, ground_truth).matched_gt.tolist() == [[BACKGROUND]]
    assert closest(k=3, min_iou=1 / 200)(ANCHOR, ground_truth).matched_gt.tolist() == [[0]]


def test_a_sample_goes_to_none_but_the_object_that_it_overlaps_most():
    nearer, farther = [6.0, 0, 16, 10], [7.0, 0, 17, 10]  # IoU 1/4 and 3/17
    assert closest(k=3)(ANCHOR, one_image([farther, nearer], [True, True])).matched_gt.tolist() == [[1]]
    assert closest(k=3)(ANCHOR, one_image([farther, nearer], [True, False])).matched_gt.tolist() == [[BACKGROUND]]
    for usual in (OFF, MaxIoU(force_match="off", chunk=1)):
        assert WithClosest(usual, min_iou=0.1)(
            ANCHOR, one_image([nearer, nearer], [True, True])
        ).matched_gt.tolist() == [[0]]


def test_a_missed_object_takes_a_sample_out_of_a_crowd():
    ground_truth = one_image([[6.0, 0, 16, 10]], [True], [[0.0, 0, 10, 10]])
    assert OFF(ANCHOR, ground_truth).matched_gt.tolist() == [[IGNORE]]
    assert closest()(ANCHOR, ground_truth).matched_gt.tolist() == [[0]]


def test_what_a_mark_on_padding_says_is_not_heard():
    ground_truth = replace(one_image([[6.0, 0, 16, 10]], [True]), is_object=torch.tensor([[False]]))
    assert closest(k=3)(ANCHOR, ground_truth).matched_gt.tolist() == [[BACKGROUND]]


@pytest.mark.parametrize("options", [{"k": 0}, {"min_iou": 0.0}, {"min_iou": 1.1}])
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="k >= 1 and min_iou in"):
        WithClosest(**options)


@pytest.mark.parametrize(
    "assigner", [FCOSPoints(), SimOTA(), TaskAligned(), Hungarian(), MaxIoU(box_strides=8.0), ATSS(box_strides=8.0)]
)
def test_assigners_that_go_by_something_else_are_refused(assigner):
    with pytest.raises(ConfigError, match="expected MaxIoU or ATSS of boxes"):
        WithClosest(assigner)
