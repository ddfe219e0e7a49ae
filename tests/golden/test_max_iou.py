"""Max-IoU assignment against mmdetection's ("take") and detectron2's ("keep").

Two differences, both meant:
- An object that touches no anchor. With min_pos_iou = 0 its best IoU is 0, all anchors tie there, and in both
  references it takes every anchor. An object that nothing overlaps has nothing to learn from; ours forces none.
- A positive inside an ignore region. mmdetection ignores it; somebody annotated that object, so ours keeps it. What an
  object is given by force is therefore another anchor there, where its best one is inside such a region.
"""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, GroundTruth, MaxIoU
from hardmine.core.boxes import pairwise_iou, pairwise_overlap_of_second

GOLDEN = ("max_iou", "d2_matcher")


@pytest.fixture
def assigner(case) -> MaxIoU:
    params = case.params
    if case.method == "d2_matcher":
        low, high = params["thresholds"][0], params["thresholds"][-1]
        return MaxIoU(high, low, force_match="keep" if params["allow_low_quality"] else "off")
    force = "take" if params.get("match_low_quality", True) else "off"
    return MaxIoU(params["pos_iou_thr"], params["neg_iou_thr"], params["min_pos_iou"], force_match=force)


def theirs(case) -> torch.Tensor:
    """Their matches in our numbers."""
    if case.method == "max_iou":
        matched = case.expected["gt_inds"].long()
        return torch.where(matched > 0, matched - 1, torch.where(matched == 0, BACKGROUND, IGNORE))
    label, match = case.expected["match_labels"], case.expected["matches"].long()
    return torch.where(label == 1, match, torch.where(label == 0, BACKGROUND, IGNORE))


def test_the_same_anchors_belong_to_the_same_objects(case, assigner):
    anchors, gt = case.given["anchors"].double(), case.given["gt"].double()
    regions = case.given.get("gt_ignore", torch.zeros(0, 4)).double()
    ground_truth = GroundTruth.from_lists([gt], [case.given["gt_labels"]], [regions])
    ours, expected = assigner(anchors[None], ground_truth).matched_gt[0], theirs(case)
    iou, ignored = pairwise_iou(gt, anchors), (pairwise_overlap_of_second(regions, anchors) > 0.5).any(dim=0)
    untouched = untouched_by(iou.masked_fill(ignored, 0))
    assert not torch.isin(ours, untouched_by(iou)).any()

    forces_all = assigner.min_positive_iou == 0 and assigner.force_match != "off" and len(untouched) > 0
    differs = ignored & (ours >= 0) & (expected == IGNORE)
    if case.method == "d2_matcher" and forces_all:  # "keep" leaves each with its own best object
        assert (expected >= 0).all()
        differs |= ours < 0
    elif forces_all:
        assert (expected[~ignored] >= untouched.max()).all()
    if assigner.force_match != "off":
        elsewhere = ((iou == largest(iou)) & ignored).any(dim=1).nonzero().flatten()  # its best anchor is ignored there
        either = torch.cat([untouched, elsewhere])
        differs |= torch.isin(expected, either) | torch.isin(ours, elsewhere)
    assert torch.equal(ours[~differs], expected[~differs])
    plain = assigner(anchors[None], GroundTruth.from_lists([gt], [case.given["gt_labels"]])).matched_gt[0]
    assert torch.equal(ours, torch.where(ignored & (plain == BACKGROUND), IGNORE, plain))


def largest(iou: torch.Tensor) -> torch.Tensor:
    """Of each object, (G, 1)."""
    return iou.amax(dim=1, keepdim=True)


def untouched_by(iou: torch.Tensor) -> torch.Tensor:
    """Numbers of the objects that no anchor overlaps."""
    return (largest(iou) == 0).flatten().nonzero().flatten()
