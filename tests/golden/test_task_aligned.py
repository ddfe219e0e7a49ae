"""Task-aligned assignment against mmdetection's, and its targets against the rule of TOOD's head.

With ``rank_over="all"`` all cases agree: the k best are looked for among all anchors, and those whose centre is outside
the object are then lost. By default ours looks inside only, so that an object gets its k where there are so many. What
follows, and is asserted: whatever the reference gives to an object ours gives to an object too; an object whose anchors
no other wants has its k, or all that are inside; and both agree where none of the k best is outside.
Inside means a margin above 0 pixels here, above .01 there: anchors between the two are set aside.
The reference knows ``gt_ignore`` and takes no notice of it; so it is not given.
"""

import pytest
import torch
from torch import Tensor

from hardmine import BACKGROUND, GroundTruth, TaskAligned
from hardmine.core.boxes import pairwise_iou
from hardmine.core.samples import Assignment, Predictions

GOLDEN = ("task_aligned",)
K = 13


def assigned(case, assigner: TaskAligned) -> Assignment:
    given = {name: values.double() for name, values in case.given.items()}
    ground_truth = GroundTruth.from_lists([given["gt"]], [case.given["gt_labels"]])
    predictions = Predictions(given["decoded"][None], given["scores"][None])
    return assigner(given["anchors"][None], ground_truth, predictions=predictions)


@pytest.fixture
def margins(case) -> Tensor:
    """How far the centre of each anchor is inside each object, in pixels, (G, N)."""
    anchors, gt = case.given["anchors"].double(), case.given["gt"].double()[:, None]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    return torch.cat([centre - gt[..., :2], gt[..., 2:] - centre], dim=-1).amin(dim=-1)


@pytest.fixture
def fit(case) -> Tensor:
    """s · u⁶ of each object and anchor, (G, N)."""
    said = case.given["scores"].double()[:, case.given["gt_labels"]].T
    return said * pairwise_iou(case.given["gt"].double(), case.given["decoded"].double()) ** 6


def on_the_edge(margins: Tensor) -> Tensor:
    """Anchors that are inside some object for ours and not for theirs, (N,)."""
    return ((margins > 0) & (margins <= 0.01)).any(dim=0)


def test_the_same_anchors_belong_to_the_same_objects(case, margins):
    expected, same = case.expected["gt_inds"].long() - 1, ~on_the_edge(margins)
    assert torch.equal(assigned(case, TaskAligned(rank_over="all")).matched_gt[0][same], expected[same])


def test_looking_inside_only_gives_an_object_its_k(case, margins, fit):
    expected, inside = case.expected["gt_inds"].long() - 1, margins > 0
    ours = assigned(case, TaskAligned()).matched_gt[0]
    assert (ours[expected >= 0] >= 0).all()
    for g in range(len(case.given["gt"])):
        wanted = min(K, int((inside[g] & (fit[g] > 0)).sum()))
        alone = not (inside[g] & inside[torch.arange(len(inside)) != g]).any()
        assert (ours == g).sum() == wanted if alone else (ours == g).sum() <= wanted
    if not on_the_edge(margins).any() and not takes_places_outside(fit, inside):
        assert torch.equal(ours, expected)


def takes_places_outside(fit: Tensor, inside: Tensor) -> bool:
    """Whether any of the k best of some object lies outside it."""
    best = fit.topk(min(K, fit.shape[1]), dim=1)
    return bool(((best.values > 0) & ~inside.gather(1, best.indices)).any())


def test_the_quality_is_the_target_of_toods_head(case, margins):
    assignment = assigned(case, TaskAligned(rank_over="all"))
    matched, quality = case.expected["gt_inds"].long() - 1, torch.zeros(len(case.given["anchors"])).double()
    for g in matched[matched > BACKGROUND].unique():
        own = matched == g
        fit, iou = case.expected["assign_metrics"][own].double(), case.expected["max_overlaps"][own].double()
        quality[own] = fit / fit.max() * iou.max()
    same = ~torch.isin(assignment.matched_gt[0], assignment.matched_gt[0][on_the_edge(margins)])
    assert assignment.quality[0][same].numpy() == pytest.approx(quality[same].numpy(), rel=1e-6)
