"""ATSS against mmdetection's.

One difference, meant: ignore regions. mmdetection takes the anchors in them away before anything is chosen, so that an
object inside a crowd region gets none and its neighbours' candidates shift. Somebody annotated that object: ours keeps
its positives, and only ignores negatives. With those anchors given as padding, which does take them away first, ours
agrees here too.
"""

import torch

from hardmine import ATSS, BACKGROUND, IGNORE, GroundTruth
from hardmine.boxes import pairwise_overlap_of_second
from hardmine.samples import Levels

GOLDEN = ("atss",)


def test_the_same_anchors_belong_to_the_same_objects(case):
    anchors, gt, regions = (case.given[name].double() for name in ("anchors", "gt", "gt_ignore"))
    sizes = tuple(case.given["num_level"].tolist())
    levels = Levels(sizes, strides=(8.0, 16.0, 32.0), per_location=(1,) * len(sizes))
    assigner, labels = ATSS(case.params["topk"]), [case.given["gt_labels"]]
    expected = case.expected["gt_inds"].long()
    expected = torch.where(expected > 0, expected - 1, torch.where(expected == 0, BACKGROUND, IGNORE))
    in_crowd = (pairwise_overlap_of_second(regions, anchors) > 0.5).any(dim=0)
    assert in_crowd.any() == (case.kind == "ignore")

    ground_truth = GroundTruth.from_lists([gt], labels, [regions[:0]])
    without = assigner(anchors[None], ground_truth, is_padding=in_crowd[None], levels=levels)
    assert torch.equal(without.matched_gt[0], expected)

    ground_truth = GroundTruth.from_lists([gt], labels, [regions])
    ours = assigner(anchors[None], ground_truth, levels=levels).matched_gt[0]
    assert torch.equal(ours, expected) == (case.kind != "ignore")
    assert (expected[in_crowd] == IGNORE).all()
    assert (ours[in_crowd] >= 0).any() == (case.kind == "ignore")
    assert not (ours[in_crowd] == BACKGROUND).any()
    assert not (ours[~in_crowd] == IGNORE).any()
