"""Max-IoU assignment against mmdetection's ("take") and detectron2's ("keep").

Two differences, both meant:
- An object that touches no anchor. With min_pos_iou = 0 its best IoU is 0, all anchors tie there, and in both
  references it takes every anchor. An object that nothing overlaps has nothing to learn from; ours forces none.
- A positive inside an ignore region. mmdetection ignores it; somebody annotated that object, so ours keeps it.
"""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, GroundTruth, MaxIoU
from hardmine.boxes import pairwise_iou, pairwise_overlap_of_second

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
    ours = assigner(anchors[None], ground_truth).matched_gt[0]
    expected = theirs(case)
    iou = pairwise_iou(gt, anchors)
    untouched = (iou.amax(dim=1) == 0).nonzero().flatten() if len(gt) else torch.zeros(0)
    ignored = (pairwise_overlap_of_second(regions, anchors) > 0.5).any(dim=0)
    kept_positive = ignored & (ours >= 0) & (expected == IGNORE)
    assert not torch.isin(ours, untouched).any()
    if case.method == "d2_matcher" and len(untouched):
        # there all anchors are forced, and "keep" then leaves each with its own best object
        differs = (expected >= 0) & (ours < 0)
    else:
        differs = torch.isin(expected, untouched)
    assert torch.equal(ours[~differs & ~kept_positive], expected[~differs & ~kept_positive])
    assert differs.any() == (len(untouched) > 0 and assigner.min_positive_iou == 0 and assigner.force_match != "off")
    assert (iou[:, kept_positive] >= assigner.positive_iou).any(dim=0).all()
