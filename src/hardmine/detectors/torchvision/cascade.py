"""Cascade R-CNN, made of torchvision's parts: each stage refines the boxes for the next, which asks for a larger IoU.

Cai & Vasconcelos, Cascade R-CNN: Delving into High Quality Object Detection, CVPR 2018, arXiv:1712.00726.

This is the network and what it finds; what it learns is `cascade_detector.CascadeRCNNDetector`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image

from hardmine.errors import ConfigError

__all__ = ["STAGES", "AgnosticPredictor", "CascadeRCNN", "CascadeRoIHeads", "CascadeStage", "StageSettings"]


@dataclass(frozen=True, slots=True)
class StageSettings:
    """What makes a stage of a cascade.

    iou: with an object, from which on a proposal is positive; below it is background.
    code_weights: what the four numbers of a box code are multiplied by, the larger, the better boxes are already.
    loss_weight: what both losses of the stage are multiplied by.
    """

    iou: float
    code_weights: tuple[float, float, float, float]
    loss_weight: float = 1.0


STAGES = (
    StageSettings(0.5, (10.0, 10.0, 5.0, 5.0), 1.0),
    StageSettings(0.6, (20.0, 20.0, 10.0, 10.0), 0.5),
    StageSettings(0.7, (30.0, 30.0, 15.0, 15.0), 0.25),
)
"""The paper's three."""


class AgnosticPredictor(nn.Module):
    """Scores of each class, background first, and one box code for all of them: (R, F) -> (R, C + 1), (R, 4)."""

    def __init__(self, in_features: int, num_classes: int):
        super().__init__()
        self.cls_score = nn.Linear(in_features, num_classes)
        self.bbox_pred = nn.Linear(in_features, 4)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = features.flatten(start_dim=1)
        return self.cls_score(features), self.bbox_pred(features)


class CascadeStage(nn.Module):
    """One stage: a head of its own on the features of RoIs, and a predictor of one box for all classes."""

    def __init__(self, box_head: nn.Module, box_predictor: nn.Module, settings: StageSettings):
        super().__init__()
        self.box_head, self.box_predictor, self.settings = box_head, box_predictor, settings
        self.box_coder = BoxCoder(settings.code_weights)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (R, C + 1), background first, and box codes (R, 4) of the features of RoIs."""
        return self.box_predictor(self.box_head(pooled))


class CascadeRoIHeads(RoIHeads):
    """The stages, one after the other.

    The scores of an image are those of all stages for the boxes of the last, averaged; the boxes are the last stage's.
    Raises: ConfigError: in training mode: a cascade learns under a recipe.
    """

    def __init__(self, box_roi_pool: nn.Module, stages: Sequence[CascadeStage], like: RoIHeads):
        last = stages[-1].settings
        super().__init__(
            box_roi_pool,
            None,
            None,
            fg_iou_thresh=last.iou,
            bg_iou_thresh=last.iou,
            batch_size_per_image=like.fg_bg_sampler.batch_size_per_image,
            positive_fraction=like.fg_bg_sampler.positive_fraction,
            bbox_reg_weights=last.code_weights,
            score_thresh=like.score_thresh,
            nms_thresh=like.nms_thresh,
            detections_per_img=like.detections_per_img,
        )
        self.stages: Any = nn.ModuleList(stages)

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Any = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if self.training:
            raise ConfigError("a cascade learns under a recipe: hardmine.wrap(model, recipe)(images, targets)")
        for stage in self.stages[:-1]:
            _, codes = stage(self.box_roi_pool(features, proposals, image_shapes))
            proposals = _refined(stage.box_coder, codes, proposals, image_shapes)
        pooled = self.box_roi_pool(features, proposals, image_shapes)
        logits, codes = zip(*(stage(pooled) for stage in self.stages), strict=True)
        scores = torch.stack([of_stage.softmax(dim=-1) for of_stage in logits]).mean(dim=0)
        columns = codes[-1].repeat(1, scores.shape[-1])  # one box of each class, as torchvision has it
        found = self.postprocess_detections(scores.log(), columns, proposals, image_shapes)
        return [dict(zip(("boxes", "scores", "labels"), image, strict=True)) for image in zip(*found, strict=True)], {}


class CascadeRCNN(FasterRCNN):
    """A Faster R-CNN with a cascade in the place of its RoI head.

    Args: num_classes: background included, as in torchvision.  stages: at least one.  options: of `FasterRCNN`, but
        for what the stages say; sampling and thresholds of detections hold for each stage.
    """

    def __init__(
        self,
        backbone: nn.Module,
        stages: Sequence[CascadeStage],
        *,
        box_roi_pool: MultiScaleRoIAlign,
        **options: Any,
    ):
        if not stages:
            raise ConfigError("CascadeRCNN needs at least one stage, got none")
        first = {"box_head": stages[0].box_head, "box_predictor": stages[0].box_predictor}
        super().__init__(backbone, box_roi_pool=box_roi_pool, **first, **options)
        self.roi_heads = CascadeRoIHeads(box_roi_pool, stages, like=self.roi_heads)


def _refined(
    coder: BoxCoder, codes: Tensor, proposals: list[Tensor], image_shapes: list[tuple[int, int]]
) -> list[Tensor]:
    """The proposals corrected by their codes, inside the images."""
    boxes = coder.decode(codes, proposals).squeeze(1).split([len(of_image) for of_image in proposals])
    return [clip_boxes_to_image(of_image, shape) for of_image, shape in zip(boxes, image_shapes, strict=True)]
