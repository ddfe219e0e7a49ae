"""torchvision's Faster R-CNN, with masks and keypoints or without: an RPN and a stage of RoIs.

Masks and keypoints, where the model has them, are no matter of a recipe: their branches see the positives that
torchvision's own sampler draws, neither all that a recipe looks at nor only what it finds hard. Under the framework's
own choice these are the very samples of the box head.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from hardmine.core.samples import GroundTruth, Samples
from hardmine.detectors.targets import Targets
from hardmine.detectors.torchvision.detector import TorchvisionDetector
from hardmine.detectors.torchvision.replaced import FASTER_RCNN
from hardmine.detectors.torchvision.roi_branches import branch_fields, branch_losses
from hardmine.detectors.torchvision.roi_stage import Proposals, RoIStage, max_iou, random_sampling, two_stage_head
from hardmine.detectors.torchvision.rpn import propose, rpn_head
from hardmine.equation.head import Head
from hardmine.equation.recipe import Recipe

__all__ = ["FasterRCNNDetector"]


class FasterRCNNDetector(TorchvisionDetector):
    """Faster R-CNN under a recipe; by default random sampling in both heads.

    A predictor of one box for all classes, codes (R, 4), will do. torchvision neither trains nor detects with one
    (IndexError in 0.29): in eval mode it has to give ``codes.repeat(1, C + 1)``.

    Args: two_pass: see `RoIStage`.
    Raises: ConfigError: a method that would not be called is a user's own.
    """

    name = "fasterrcnn"
    label_offset = 1
    replaced = FASTER_RCNN

    def __init__(self, model: Any, recipe: Recipe, *, two_pass: bool = True):
        super().__init__(model)
        self.two_pass, self.objects_as_proposals = two_pass, recipe.objects_as_proposals
        self.rpn_head: Any = self.first_stage(recipe)
        self.roi_head = two_stage_head(
            self.name,
            "roi",
            "softmax",
            num_classes=self.num_classes,
            sampler=model.roi_heads.fg_bg_sampler,
            assigner=max_iou(model.roi_heads.proposal_matcher),
            code_weights=model.roi_heads.box_coder.weights,
            recipe=recipe,
        )
        self.branch_sampling = random_sampling(model.roi_heads.fg_bg_sampler)

    @property
    def num_classes(self) -> int:
        predictor = "roi_heads.box_predictor"
        return self.number_at(f"{predictor}.cls_score.out_features", f"{predictor}.num_classes") - 1

    @property
    def needed_fields(self) -> tuple[str, ...]:
        return (*super().needed_fields, *branch_fields(self.model.roi_heads))

    @property
    def stage(self) -> RoIStage:
        roi = self.model.roi_heads
        return RoIStage(self.roi_head, roi, roi.box_roi_pool, "roi_heads", self.two_pass, self.objects_as_proposals)

    def head_losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> dict[str, Tensor]:
        proposals, of_proposals = self.propose(images, features, ground_truth, targets)
        return {**of_proposals, **self.roi_losses(images, features, ground_truth, targets, proposals)}

    def first_stage(self, recipe: Recipe) -> Head | None:
        """What proposals are learnt by."""
        return rpn_head(self.name, self.model.rpn, recipe)

    def propose(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals, one (K, 4) an image, and the losses of what made them."""
        return propose(self.model.rpn, self.rpn_head, images, features, ground_truth)

    def roi_losses(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        ground_truth: GroundTruth,
        targets: Targets,
        proposals: list[Tensor],
    ) -> dict[str, Tensor]:
        """The losses of the second stage, given the proposals: one (K, 4) an image."""
        boxes, before = self.stage.start(Proposals.from_lists(proposals), ground_truth)
        roi = self.stage.learn(features, images.image_sizes, ground_truth, boxes, before).losses
        branches = self._branch_losses(images, features, targets, boxes, before)
        return {"loss_classifier": roi.classify, "loss_box_reg": roi.regress, **branches}

    def _branch_losses(
        self, images: ImageList, features: dict[str, Tensor], targets: Targets, boxes: Tensor, before: Samples
    ) -> dict[str, Tensor]:
        """Losses of masks and keypoints, on the positives that torchvision's own sampling takes by the same noise."""
        if not branch_fields(self.model.roi_heads):
            return {}
        noise = torch.rand(boxes.shape[:2], device=boxes.device) if before.noise is None else before.noise
        kept = (self.branch_sampling(replace(before, noise=noise)) > 0) & before.assignment.is_positive
        positives, matched = (
            [of_image[keep] for of_image, keep in zip(values, kept, strict=True)]
            for values in (boxes, before.assignment.matched_gt)
        )
        return branch_losses(self.model.roi_heads, features, images.image_sizes, positives, matched, targets)
