"""What every adapted detector is: the framework's model, untouched, and our losses beside it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from hardmine.errors import ConfigError, ShapeError
from hardmine.samples import GroundTruth

__all__ = ["Detector"]

Targets = Sequence[Mapping[str, Tensor]]


class Detector(nn.Module, ABC):
    """A detector under a recipe: ``(images, targets) -> dict of losses`` in training mode, the model itself in eval.

    Images are (3, H, W) floats in [0, 1], targets the framework's own dicts with its own labels: ``boxes`` (G, 4) and
    ``labels`` (G,), and optionally ``iscrowd`` (G,), objects that are neither to be found nor background, and
    ``weights`` (G,), how much each object counts (a listwise loss has no weights: there only 0 makes a difference).
    The model's parameters, its state_dict and its inference stay as they are: it is `model`.
    """

    label_offset: ClassVar[int]
    """What the framework adds to our labels 0..C-1: 1 where its class 0 is the background."""

    def __init__(self, model: Any):
        super().__init__()
        self.model: Any = model

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """C, without background."""

    @abstractmethod
    def losses(self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth) -> dict[str, Tensor]:
        """The training losses under the framework's own names, each a scalar."""

    def forward(self, images: list[Tensor], targets: Targets | None = None) -> Any:
        """Losses in training mode, detections (boxes, labels, scores) in eval mode.

        Raises: ShapeError, ConfigError: targets that do not fit the images or the model.
        """
        if not self.training:
            return self.model(images)
        if targets is None or len(targets) != len(images):
            count = "none" if targets is None else len(targets)
            raise ShapeError(f"training needs one target an image: got {len(images)} images and {count} targets")
        image_list, resized = self.model.transform(images, [dict(target) for target in targets])
        ground_truth = self._ground_truth(resized)
        features = self.model.backbone(image_list.tensors)
        features = {"0": features} if isinstance(features, Tensor) else features
        return self.losses(image_list, features, ground_truth)

    def _ground_truth(self, targets: Targets) -> GroundTruth:
        boxes = [target["boxes"] for target in targets]
        labels = [target["labels"].long() - self.label_offset for target in targets]
        crowd = [_crowd(target) for target in targets]
        weights = _weights(targets)
        regions = None
        if torch.cat(crowd).any():  # rare; without it no box has to be picked out
            regions = [box[is_crowd] for box, is_crowd in zip(boxes, crowd, strict=True)]
            boxes = [box[~is_crowd] for box, is_crowd in zip(boxes, crowd, strict=True)]
            labels = [label[~is_crowd] for label, is_crowd in zip(labels, crowd, strict=True)]
            weights = weights and [weight[~is_crowd] for weight, is_crowd in zip(weights, crowd, strict=True)]
        ground_truth = GroundTruth.from_lists(boxes, labels, regions, weights)
        self._check_values(ground_truth)
        return ground_truth

    def _check_values(self, ground_truth: GroundTruth) -> None:
        """One look for the whole batch: a bad box turns the loss into NaN, a bad label crashes a GPU."""
        boxes, labels, is_object = ground_truth.boxes, ground_truth.labels, ground_truth.is_object
        empty = ~(boxes[..., 2:] > boxes[..., :2]).all(-1) & is_object  # NaN included
        unknown = ((labels < 0) | (labels >= self.num_classes)) & is_object
        wrong = empty | unknown
        checks = [
            (empty, boxes, "x2 > x1 and y2 > y1 after resizing; leave empty boxes out"),
            (unknown, labels, f"a label from {self.label_offset} to {self.num_classes + self.label_offset - 1}"),
        ]
        if (weights := ground_truth.weights) is not None:
            unweighable = ~((weights >= 0) & (weights < torch.inf)) & is_object
            wrong = wrong | unweighable
            checks.append((unweighable, weights, "a finite weight of at least 0"))
        if not wrong.any():
            return
        for mask, values, expected in checks:
            for b, g in mask.nonzero().tolist()[:1]:
                got = values[b, g] + self.label_offset if values is labels else values[b, g]
                raise ConfigError(f"image {b} of the batch, object {g}: got {got.tolist()}, expected {expected}")


def _weights(targets: Targets) -> list[Tensor] | None:
    """What the targets say, 1 for the objects of those that say nothing; None where none does."""
    if not any("weights" in target for target in targets):
        return None
    return [target.get("weights", torch.ones_like(target["boxes"][:, 0])) for target in targets]


def _crowd(target: Mapping[str, Tensor]) -> Tensor:
    return target["iscrowd"].bool() if "iscrowd" in target else torch.zeros_like(target["labels"], dtype=torch.bool)
