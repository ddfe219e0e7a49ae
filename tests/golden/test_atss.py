"""ATSS against mmdetection's.

One difference, meant: ignore regions. mmdetection takes the anchors in them away before anything is chosen, so that an
object inside a crowd region gets none and its neighbours' candidates shift. Somebody annotated that object: ours keeps
its positives, and only ignores negatives. With those anchors given as padding, which does take them away first, ours
agrees here too.
Set aside are anchors whose centre is less than .01 px inside an object, which is inside for ours only, and objects of
which theirs leaves open which anchors are the k nearest of a level: those at the same distance as the k-th; or which
have none, where a level has fewer than k anchors outside of the regions (its mean IoU is then -inf). Of equal boxes
either may have the anchor.
"""

import torch
from torch import Tensor

from hardmine import ATSS, BACKGROUND, IGNORE, GroundTruth
from hardmine.core.boxes import pairwise_overlap_of_second
from hardmine.core.samples import Levels

GOLDEN = ("atss",)


def test_the_same_anchors_belong_to_the_same_objects(case):
    anchors, gt, regions = (case.given[name].double() for name in ("anchors", "gt", "gt_ignore"))
    sizes, k = tuple(case.given["num_level"].tolist()), case.params["topk"]
    levels = Levels(sizes, strides=(8.0, 16.0, 32.0), per_location=(1,) * len(sizes))
    assigner, labels = ATSS(k), [case.given["gt_labels"]]
    in_crowd = (pairwise_overlap_of_second(regions, anchors) > 0.5).any(dim=0)
    distance, margin = distance_and_margin(anchors, gt)
    settled = is_settled(distance.masked_fill(in_crowd, torch.inf), sizes, k)
    clear = ~((margin > 0) & ((margin <= 0.01) | ~settled[:, None])).any(dim=0)

    expected = first_of_equals(theirs(case), gt)
    ground_truth = GroundTruth.from_lists([gt], labels, [regions[:0]])
    without = assigner(anchors[None], ground_truth, is_padding=in_crowd[None], levels=levels).matched_gt[0]
    assert torch.equal(first_of_equals(without, gt)[clear], expected[clear])
    assert (expected[in_crowd & clear] == IGNORE).all()

    plain = assigner(anchors[None], ground_truth, levels=levels).matched_gt[0]
    ground_truth = GroundTruth.from_lists([gt], labels, [regions])
    ours = assigner(anchors[None], ground_truth, levels=levels).matched_gt[0]
    assert torch.equal(ours, torch.where(in_crowd & (plain == BACKGROUND), IGNORE, plain))


def theirs(case) -> Tensor:
    """Their matches in our numbers."""
    matched = case.expected["gt_inds"].long()
    return torch.where(matched > 0, matched - 1, torch.where(matched == 0, BACKGROUND, IGNORE))


def distance_and_margin(anchors: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    """Between the centres of each object and anchor, and how far the anchor's is inside the object, (G, N) each."""
    centre, box = (anchors[:, :2] + anchors[:, 2:]) / 2, gt[:, None]
    sides = torch.cat([centre - box[..., :2], box[..., 2:] - centre], dim=-1)
    return (centre - (box[..., :2] + box[..., 2:]) / 2).norm(dim=-1), sides.amin(dim=-1)


def is_settled(distance: Tensor, sizes: tuple[int, ...], k: int) -> Tensor:
    """Whether the k nearest of each level are the same in any order, and none infinitely far, (G, N) -> (G,)."""
    settled = torch.ones(len(distance), dtype=torch.bool)
    for of_level in distance.split(sizes, dim=1):
        nearest = of_level.sort(dim=1).values
        settled &= nearest[:, : min(k, nearest.shape[1])].isfinite().all(dim=1)
        if k < nearest.shape[1]:
            settled &= nearest[:, k] - nearest[:, k - 1] > 1e-9
    return settled


def first_of_equals(matched: Tensor, gt: Tensor) -> Tensor:
    """The matches with the first object of the same box for each, (N,)."""
    same = (gt[:, None] == gt).all(dim=-1)
    first = same.int().argmax(dim=1) if len(gt) else matched.new_zeros(1)
    return torch.where(matched >= 0, first[matched.clamp_min(0)], matched)
