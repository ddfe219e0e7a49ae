"""What set-prediction detectors of any framework share in a loop of one's own: square images, layers, queries."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_convert

from hardmine.core.samples import Activation, GroundTruth
from hardmine.detectors.detector import Detector
from hardmine.detectors.query_detections import best_queries
from hardmine.detectors.targets import Targets
from hardmine.detectors.weighted_layers import SIDE

__all__ = ["IMAGENET", "QueryDetector"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that images are normalised by, where the encoder has learnt from ImageNet."""


class QueryDetector(Detector):
    """A detector whose images are resized to a square, and whose losses are summed over its layers.

    seam: the recipe in its losses, with `expect` as of `WeightedLayers`.
    Args: side: of the square, in pixels.  mean_and_deviation: of the colours, that images are normalised by.
    """

    classification_losses = ("loss_ce", "loss_vfl", "loss_mal")
    activation: Activation = "sigmoid"
    labels: str
    """Under which name the framework has the classes of objects."""
    seam: Any

    def __init__(self, model: Any, side: int, mean_and_deviation: tuple[Sequence[float], Sequence[float]]):
        super().__init__(model)
        mean, deviation = map(list, mean_and_deviation)
        self.transform = GeneralizedRCNNTransform(
            side, side, mean, deviation, size_divisible=1, fixed_size=(side, side)
        )

    @abstractmethod
    def terms(
        self, batch: Tensor, targets: list[dict[str, Tensor]]
    ) -> tuple[Mapping[str, Tensor], Mapping[str, float]]:
        """What the framework's criterion returns, by name, and what each term is multiplied by; 0 or none: watched."""

    @abstractmethod
    def found(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, N, C), or (B, N, C + 1), and boxes (B, N, 4) as middle, width and height in 0..1."""

    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Tensor, Targets]:
        batch, resized = self.transform(images, targets)
        return batch.tensors, resized

    def losses(self, batch: Tensor, ground_truth: GroundTruth, objects: Targets) -> dict[str, Tensor]:
        scale = SIDE / batch.shape[-1]
        boxes, regions = ground_truth.boxes * scale, ground_truth.ignore_regions * scale
        self.seam.expect(replace(ground_truth, boxes=boxes, ignore_regions=regions))
        try:
            return _by_name(*self.terms(batch, [self._target(target, batch.shape[-1]) for target in objects]))
        finally:
            self.seam.expect(None)

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        logits, boxes = self.found(self.transform(images)[0].tensors)
        of_images = zip(logits.float(), boxes.float(), images, strict=True)
        return [best_queries(scores, places, image.shape[-2:], self.activation) for scores, places, image in of_images]

    def _target(self, target: Mapping[str, Tensor], side: int) -> dict[str, Tensor]:
        boxes = box_convert(target["boxes"], "xyxy", "cxcywh") / side
        return {self.labels: target["labels"].long(), "boxes": boxes}


def _by_name(terms: Mapping[str, Tensor], gains: Mapping[str, float]) -> dict[str, Tensor]:
    """The terms of all layers together, times their gains: loss_ce, loss_bbox, loss_giou, ..."""
    total: dict[str, Tensor] = {}
    for term, value in terms.items():
        if gain := gains.get(term):
            name = "_".join(term.split("_")[:2])
            total[name] = total.get(name, 0) + value * gain
    return total
