"""The first stage of torchvision's two-stage detectors: proposals, and what the RPN learns under a recipe."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from hardmine.core.samples import GroundTruth
from hardmine.detectors.torchvision.roi_stage import max_iou, two_stage_head
from hardmine.equation.head import Head, HeadLosses, HeadOutput
from hardmine.equation.recipe import Recipe

__all__ = ["propose", "rpn_head"]


def rpn_head(detector: str, rpn: Any, recipe: Recipe) -> Head:
    """The RPN under a recipe, by its own sampler, matcher and box coder."""
    return two_stage_head(
        detector,
        "rpn",
        "sigmoid",
        num_classes=1,
        sampler=rpn.fg_bg_sampler,
        assigner=max_iou(rpn.proposal_matcher),
        code_weights=rpn.box_coder.weights,
        recipe=recipe,
    )


def propose(
    rpn: Any, head: Head, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The proposals, one (K, 4) an image, and the losses of the RPN by torchvision's names."""
    levels = list(features.values())
    objectness, deltas = rpn.head(levels)
    anchors = torch.stack(rpn.anchor_generator(images, levels))  # (B, N, 4)
    per_level = [level[0].numel() for level in objectness]
    objectness, deltas = concat_box_prediction_layers(objectness, deltas)
    objectness, deltas = objectness.view(len(anchors), -1, 1), deltas.view_as(anchors)
    decoded = head.coder.decode(deltas.detach(), anchors)
    proposals, _ = rpn.filter_proposals(decoded, objectness, images.image_sizes, per_level)
    losses = _losses(head, HeadOutput(objectness, deltas, anchors).at_least_float32(), ground_truth, anchors)
    return proposals, {"loss_objectness": losses.classify, "loss_rpn_box_reg": losses.regress}


def _losses(head: Head, output: HeadOutput, ground_truth: GroundTruth, anchors: Tensor) -> HeadLosses:
    any_object = replace(ground_truth, labels=torch.zeros_like(ground_truth.labels))
    return head(output, any_object, head.assigner(anchors, any_object), anchors)
