"""SimOTA against mmdetection's.

One difference, meant: an object that deserves more anchors than there are both inside it and near its centre. The
reference adds 1e5 to the cost of all others and so may choose any anchor that lies inside or near *some* object, be it
at the other end of the image; and beside 1e5 float32 rounds the costs of those others. An anchor that lies neither
inside nor near the object has nothing to say of it: ours chooses among those that are at least one of the two, and
gives the object none where there is none. Where no object is short of anchors, both agree everywhere; elsewhere they
differ in anchors of such objects, in those that only one of the two gives to anyone, and in those that lie inside and
near several objects: an anchor that several take belongs to the object that it fits best, which may not have taken it.
"""

import torch
from torch import Tensor

from hardmine import GroundTruth, SimOTA
from hardmine.core.boxes import pairwise_iou
from hardmine.core.samples import Levels, Predictions

GOLDEN = ("simota",)


def test_the_same_anchors_belong_to_the_same_objects(case):
    points, gt = case.given["points"], case.given["gt"]  # (x, y, stride, stride)
    boxes = torch.cat([points[:, :2] - points[:, 2:] / 2, points[:, :2] + points[:, 2:] / 2], dim=1)
    strides, sizes = points[:, 2].unique_consecutive(return_counts=True)
    levels = Levels(tuple(sizes.tolist()), tuple(strides.tolist()), (1,) * len(sizes))
    predictions = Predictions(case.given["decoded"][None], case.given["scores"][None])
    ground_truth = GroundTruth.from_lists([gt], [case.given["gt_labels"]])
    ours = SimOTA()(boxes[None], ground_truth, levels=levels, predictions=predictions).matched_gt[0]
    expected = case.expected["gt_inds"].long() - 1

    inside, near = places(points, gt)
    scarce = is_scarce(pairwise_iou(gt, case.given["decoded"]), inside, near).nonzero().flatten()
    differs = ours != expected
    assert len(scarce) > 0 or not differs.any()
    differs &= ~torch.isin(ours, scarce) & ~torch.isin(expected, scarce)
    differs &= (ours >= 0) & (expected >= 0)  # what two scarce ones take goes to who wants it most, in either
    assert not (differs & ((inside & near).sum(dim=0) < 2)).any()
    own = ours >= 0
    assert (inside | near)[ours[own], own.nonzero().flatten()].all()


def places(points: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each point is inside each object, and whether it is within 2.5 strides of its centre, (G, N) each."""
    xy, box = points[:, :2], gt[:, None]
    inside = ((xy > box[..., :2]) & (xy < box[..., 2:])).all(dim=-1)
    return inside, ((xy - (box[..., :2] + box[..., 2:]) / 2).abs() < 2.5 * points[:, 2:]).all(dim=-1)


def is_scarce(iou: Tensor, inside: Tensor, near: Tensor) -> Tensor:
    """Whether each object deserves more points than are both inside it and near its centre, (G,)."""
    iou = torch.where((inside | near).any(dim=0), iou, 0)
    deserved = iou.topk(min(10, iou.shape[1]), dim=1).values.sum(dim=1).int().clamp_min(1)
    return (inside & near).sum(dim=1) < deserved
