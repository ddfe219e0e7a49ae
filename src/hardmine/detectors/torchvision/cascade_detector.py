"""Cascade R-CNN under a recipe: every stage is a RoI head of its own, so OHEM mines in each of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image

from hardmine.assign import MaxIoU
from hardmine.core.boxes import DeltaCoder
from hardmine.core.samples import GroundTruth
from hardmine.detectors.targets import Targets
from hardmine.detectors.torchvision.cascade import CascadeRCNN, StageSettings
from hardmine.detectors.torchvision.detector import TorchvisionDetector
from hardmine.detectors.torchvision.replaced import CASCADE_RCNN
from hardmine.detectors.torchvision.roi_stage import Proposals, RoIStage, StageLosses, two_stage_head
from hardmine.detectors.torchvision.rpn import propose, rpn_head
from hardmine.equation.recipe import Recipe

__all__ = ["CascadeRCNNDetector"]


class CascadeRCNNDetector(TorchvisionDetector):
    """Cascade R-CNN under a recipe; by default each stage samples at random.

    The losses of stage k are ``loss_classifier_k`` and ``loss_box_reg_k``, times the weight of the stage. The next
    stage is given the boxes of this one, without gradient: of the proposals that this one trains on or, where the
    recipe looks at all of them to rank them by loss, of all. Objects are among the proposals of each stage, as they
    are: those of the stage before are not passed on.

    Args: two_pass: of each stage, see `RoIStage`.
    Raises: ConfigError: a method that would not be called is a user's own.
    """

    name = "cascadercnn"
    label_offset = 1
    replaced = CASCADE_RCNN

    def __init__(self, model: CascadeRCNN, recipe: Recipe, *, two_pass: bool = True):
        super().__init__(model)
        self.options = (two_pass, recipe.objects_as_proposals)
        self.rpn_head = rpn_head(self.name, model.rpn, recipe)
        self.roi_heads: Any = nn.ModuleList(
            two_stage_head(
                self.name,
                "roi",
                "softmax",
                num_classes=self.num_classes,
                sampler=model.roi_heads.fg_bg_sampler,
                assigner=MaxIoU(settings.iou, settings.iou, force_match="off"),
                code_weights=settings.code_weights,
                recipe=recipe,
            )
            for settings in self._settings
        )

    @property
    def num_classes(self) -> int:
        predictor = "roi_heads.stages.0.box_predictor"
        return self.number_at(f"{predictor}.cls_score.out_features", f"{predictor}.num_classes") - 1

    @property
    def stages(self) -> list[RoIStage]:
        roi = self.model.roi_heads
        return [
            RoIStage(head, parts, roi.box_roi_pool, f"roi_heads.stages.{place}", *self.options)
            for place, (head, parts) in enumerate(zip(self.roi_heads, roi.stages, strict=True))
        ]

    @property
    def _settings(self) -> list[StageSettings]:
        return [stage.settings for stage in self.model.roi_heads.stages]

    def head_losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> dict[str, Tensor]:
        found, losses = propose(self.model.rpn, self.rpn_head, images, features, ground_truth)
        proposals = Proposals.from_lists(found)
        for place, (stage, settings) in enumerate(zip(self.stages, self._settings, strict=True)):
            boxes, before = stage.start(proposals, ground_truth)
            learnt = stage.learn(features, images.image_sizes, ground_truth, boxes, before)
            losses[f"loss_classifier_{place}"] = learnt.losses.classify * settings.loss_weight
            losses[f"loss_box_reg_{place}"] = learnt.losses.regress * settings.loss_weight
            proposals = _refined(learnt, DeltaCoder(settings.code_weights), images.image_sizes)
        return losses


def _refined(learnt: StageLosses, coder: DeltaCoder, image_sizes: Sequence[tuple[int, int]]) -> Proposals:
    """The proposals of a stage as it corrects them, inside the images, without gradient."""
    boxes = coder.decode(learnt.seen.codes.detach(), learnt.seen.anchors)
    boxes = torch.stack([clip_boxes_to_image(*image) for image in zip(boxes, image_sizes, strict=True)])
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)
    return Proposals(boxes, ~(learnt.is_proposal & has_area))
