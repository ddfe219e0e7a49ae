"""SimOTA against mmdetection's.

One difference, meant: an object that has too few anchors inside it and near its centre. The reference adds 1e5 to the
cost of all others and so may choose any anchor that lies inside or near *some* object, be it at the other end of the
image (kinds outside, tiny, ignore and one ordinary case). An anchor that lies neither inside nor near the object has
nothing to say of it: ours chooses among those that are at least one of the two, and gives the object none where there
is none. In the cases where the reference gives no such stray anchor, both agree everywhere.
"""

import torch

from hardmine import BACKGROUND, GroundTruth, SimOTA
from hardmine.samples import Levels, Predictions

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

    stray = (expected >= 0) & ~within_reach(points, gt, expected)
    assert stray.any() == (case.kind in ("outside", "tiny", "ignore") or (case.kind, len(gt)) == ("ordinary", 5))
    differs = ours != expected
    assert (ours[stray] == BACKGROUND).all()
    assert (expected[differs & ~stray] == BACKGROUND).all()
    assert torch.isin(ours[differs & ~stray], expected[stray]).all()  # the same objects, within their reach
    assert within_reach(points, gt, ours)[ours >= 0].all()


def within_reach(points: torch.Tensor, gt: torch.Tensor, matched: torch.Tensor) -> torch.Tensor:
    """Whether each point is inside the object it belongs to, or within 2.5 strides of its centre."""
    if len(gt) == 0:
        return torch.zeros(len(points), dtype=torch.bool)
    box = gt[matched.clamp_min(0)]
    xy, centre = points[:, :2], (box[:, :2] + box[:, 2:]) / 2
    inside = ((xy > box[:, :2]) & (xy < box[:, 2:])).all(dim=1)
    return inside | ((xy - centre).abs() < 2.5 * points[:, 2:]).all(dim=1)
