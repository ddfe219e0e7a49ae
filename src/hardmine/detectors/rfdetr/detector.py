"""An rfdetr model in a loop of one's own: images resized as it is shown them, its losses weighed."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_convert

from hardmine.core.samples import GroundTruth
from hardmine.detectors.detector import Detector
from hardmine.detectors.query_detections import best_queries
from hardmine.detectors.rfdetr.criterion import Seam, check_module, is_weighted, make_heads
from hardmine.detectors.targets import Targets
from hardmine.detectors.weighted_layers import SIDE
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["RFDETRDetector", "adapt"]

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def adapt(model: Any, recipe: Recipe, *, image_size: int | None = None) -> "RFDETRDetector":
    """The RFDETRModelModule under the recipe. Raises ConfigError: another kind of model."""
    return RFDETRDetector(model, recipe, image_size)


class RFDETRDetector(Detector):
    """RF-DETR under a recipe; the sum of its losses is what rfdetr trains on.

    Args: image_size: side of the square that images are resized to, a multiple of what patches and windows need; None
        for the model's own.
    Raises: ConfigError: another kind of model, or a size that does not divide.
        EvidenceError: a recipe that needs what queries do not have.
    """

    def __init__(self, model: Any, recipe: Recipe, image_size: int | None = None):
        super().__init__(model)
        check_module(model)
        if is_weighted(model.criterion):
            raise ConfigError("a recipe is attached to this module: detach() it first, or train by rfdetr's trainer")
        self.heads = nn.ModuleDict(make_heads(model, recipe))
        self.criterion = deepcopy(model.criterion)  # the model's own stays as it is
        self.seam = Seam(self.criterion, self.heads)
        side = _side(model.model_config, image_size)
        self.transform = GeneralizedRCNNTransform(
            side, side, IMAGENET_MEAN, IMAGENET_STD, size_divisible=1, fixed_size=(side, side)
        )

    @property
    def num_classes(self) -> int:
        return self.model.model_config.num_classes

    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Tensor, Targets]:
        batch, resized = self.transform(images, targets)
        return batch.tensors, resized

    def losses(self, batch: Tensor, ground_truth: GroundTruth, objects: Targets) -> dict[str, Tensor]:
        scale = SIDE / batch.shape[-1]
        boxes, regions = ground_truth.boxes * scale, ground_truth.ignore_regions * scale
        targets = [
            {"labels": target["labels"].long(), "boxes": box_convert(target["boxes"], "xyxy", "cxcywh") * scale / SIDE}
            for target in objects
        ]
        self.seam.expect(replace(ground_truth, boxes=boxes, ignore_regions=regions))
        try:
            terms = self.criterion(self.model.model(_masked(batch), targets), targets)
        finally:
            self.seam.expect(None)
        return _by_name(terms, self.criterion.weight_dict)

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        batch, _ = self.transform(images)
        found = self.model.model(_masked(batch.tensors))
        logits, boxes = found["pred_logits"].float()[..., : self.num_classes], found["pred_boxes"].float()
        return [
            best_queries(of_image, places, image.shape[-2:])
            for of_image, places, image in zip(logits, boxes, images, strict=True)
        ]


def _side(config: Any, image_size: int | None) -> int:
    step, side = config.patch_size * config.num_windows, image_size or config.resolution
    if side % step:
        raise ConfigError(
            f"rfdetr's patches of {config.patch_size} pixels in {config.num_windows} windows need an image_size "
            f"that is a multiple of {step}, got {side}"
        )
    return side


def _masked(batch: Tensor) -> Any:
    """A batch as rfdetr takes it: with a mask of what is filled up, which is nothing of a square."""
    from rfdetr.utilities.tensors import NestedTensor

    return NestedTensor(batch, batch.new_zeros(len(batch), *batch.shape[-2:], dtype=torch.bool))


def _by_name(terms: dict[str, Tensor], gains: dict[str, float]) -> dict[str, Tensor]:
    """The terms of all layers together, times their gains: loss_ce, loss_bbox, loss_giou."""
    total: dict[str, Tensor] = {}
    for term, value in terms.items():
        if term in gains:
            name = "_".join(term.split("_")[:2])
            total[name] = total.get(name, 0) + value * gains[term]
    return total
