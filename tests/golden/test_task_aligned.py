"""Task-aligned assignment against mmdetection's, and its targets against the rule of TOOD's head.

With ``rank_over="all"`` all cases agree: the k best are looked for among all anchors, and those whose centre is outside
the object are then lost. By default ours looks inside only, so that an object gets its k where there are so many. What
follows, and is asserted: whatever the reference gives to an object ours gives to an object too, and ours gives more.
The reference knows ``gt_ignore`` and takes no notice of it; so it is not given.
"""

import pytest
import torch

from hardmine import BACKGROUND, GroundTruth, TaskAligned
from hardmine.samples import Assignment, Predictions

GOLDEN = ("task_aligned",)
ALL_IN_PLACE = ("no_gt", "tiny", "huge")  # kinds where nobody outside takes a place


def assigned(case, assigner: TaskAligned) -> Assignment:
    given = {name: values.double() for name, values in case.given.items()}
    ground_truth = GroundTruth.from_lists([given["gt"]], [case.given["gt_labels"]])
    predictions = Predictions(given["decoded"][None], given["scores"][None])
    return assigner(given["anchors"][None], ground_truth, predictions=predictions)


def test_the_same_anchors_belong_to_the_same_objects(case):
    expected = case.expected["gt_inds"].long() - 1
    assert torch.equal(assigned(case, TaskAligned(rank_over="all")).matched_gt[0], expected)


def test_looking_inside_only_gives_more(case):
    expected = case.expected["gt_inds"].long() - 1
    ours = assigned(case, TaskAligned()).matched_gt[0]
    assert (ours[expected >= 0] >= 0).all()
    assert ((ours >= 0).sum() > (expected >= 0).sum()) == (case.kind not in ALL_IN_PLACE)
    for g in range(len(case.given["gt"])):
        assert (ours == g).sum() <= 13


def test_the_quality_is_the_target_of_toods_head(case):
    assignment = assigned(case, TaskAligned(rank_over="all"))
    matched, quality = case.expected["gt_inds"].long() - 1, torch.zeros(len(case.given["anchors"])).double()
    for g in matched[matched > BACKGROUND].unique():
        own = matched == g
        fit, iou = case.expected["assign_metrics"][own].double(), case.expected["max_overlaps"][own].double()
        quality[own] = fit / fit.max() * iou.max()
    assert assignment.quality[0].numpy() == pytest.approx(quality.numpy(), rel=1e-6)
