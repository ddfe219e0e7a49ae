"""A detector of transformers in a loop of one's own: images resized as it is shown them, its losses weighed."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_convert

from hardmine.core.samples import GroundTruth
from hardmine.detectors.detector import Detector
from hardmine.detectors.query_detections import best_queries
from hardmine.detectors.targets import Targets
from hardmine.detectors.transformers.criteria import criterion_of
from hardmine.detectors.transformers.loss import Seam, make_heads
from hardmine.detectors.weighted_layers import SIDE
from hardmine.equation.recipe import Recipe

__all__ = ["TransformersDetector", "adapt"]

IMAGE_SIZE = 640
SIZE_STEP = 32
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
AS_IT_IS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def adapt(model: Any, recipe: Recipe, *, image_size: int | None = None) -> "TransformersDetector":
    """The model under the recipe. Raises ConfigError: a model whose losses are not adapted."""
    return TransformersDetector(model, recipe, image_size)


class TransformersDetector(Detector):
    """A set-prediction detector of transformers under a recipe; the sum of its losses is the model's own loss.

    Images are resized to a square of ``image_size`` pixels, as RT-DETR, D-FINE and RF-DETR are shown them.

    Raises: ConfigError: another kind of model.  EvidenceError: a recipe that needs what queries do not have.
    """

    def __init__(self, model: Any, recipe: Recipe, image_size: int | None = None):
        super().__init__(model)
        self.criterion = criterion_of(model)
        self.heads = nn.ModuleDict(make_heads(model, recipe))
        self.seam = Seam(model, self.heads)
        side = -(-(image_size or IMAGE_SIZE) // SIZE_STEP) * SIZE_STEP
        mean, std = IMAGENET if self.criterion.is_normalised else AS_IT_IS
        self.transform = GeneralizedRCNNTransform(
            side, side, list(mean), list(std), size_divisible=SIZE_STEP, fixed_size=(side, side)
        )

    @property
    def num_classes(self) -> int:
        return self.model.config.num_labels

    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Tensor, Targets]:
        batch, resized = self.transform(images, targets)
        return batch.tensors, resized

    def losses(self, batch: Tensor, ground_truth: GroundTruth, objects: Targets) -> dict[str, Tensor]:
        scale = SIDE / batch.shape[-1]
        boxes, regions = ground_truth.boxes * scale, ground_truth.ignore_regions * scale
        self.seam.expect(replace(ground_truth, boxes=boxes, ignore_regions=regions))
        try:
            terms = self.model(pixel_values=batch, labels=_labels(objects, batch.shape[-1])).loss_dict
        finally:
            self.seam.expect(None)
        return _by_name(terms, {term: self.criterion.gain(term, self.model.config) for term in terms})

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        batch, _ = self.transform(images)
        found = self.model(pixel_values=batch.tensors)
        return [
            best_queries(logits.float(), boxes.float(), image.shape[-2:], self.criterion.activation)
            for logits, boxes, image in zip(found.logits, found.pred_boxes, images, strict=True)
        ]


def _labels(objects: Targets, side: int) -> list[dict[str, Tensor]]:
    return [
        {"class_labels": target["labels"].long(), "boxes": box_convert(target["boxes"], "xyxy", "cxcywh") / side}
        for target in objects
    ]


def _by_name(terms: dict[str, Tensor], gains: dict[str, float]) -> dict[str, Tensor]:
    """The terms of all layers together, times their gains: loss_vfl, loss_bbox, ..."""
    total: dict[str, Tensor] = {}
    for term, value in terms.items():
        if gain := gains[term]:
            name = "_".join(term.split("_")[:2])
            total[name] = total.get(name, 0) + value * gain
    return total
