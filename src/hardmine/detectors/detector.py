"""What every adapted detector is: the framework's model, untouched, and our losses beside it."""

from abc import ABC, abstractmethod
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from hardmine.core.samples import GroundTruth
from hardmine.detectors.targets import Targets, check_targets, split_crowds, weights_of
from hardmine.detectors.torchvision.replaced import Replaced, refuse_overrides
from hardmine.errors import ConfigError

__all__ = ["Detector"]


class Detector(nn.Module, ABC):
    """A detector under a recipe: ``(images, targets) -> dict of losses`` in training mode, the model itself in eval.

    Images are (3, H, W) floats in [0, 1], targets the framework's own dicts with its own labels: ``boxes`` (G, 4) and
    ``labels`` (G,), and optionally ``iscrowd`` (G,), objects that are neither to be found nor background, and
    ``weights`` (G,), how much each object counts (a listwise loss has no weights: there only 0 makes a difference).
    The model's parameters, its state_dict and its inference stay as they are: it is `model`.

    Raises: ConfigError: a method that would not be called is a user's own.
    """

    label_offset: ClassVar[int]
    """What the framework adds to our labels 0..C-1: 1 where its class 0 is the background."""
    replaced: ClassVar[Replaced]
    """The framework's methods that the adapter will not call in training."""

    def __init__(self, model: Any):
        super().__init__()
        refuse_overrides(model, self.replaced)
        self.model: Any = model

    @property
    def needed_fields(self) -> tuple[str, ...]:
        """What every target must have."""
        return ("boxes", "labels")

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """C, without background."""

    @abstractmethod
    def losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> dict[str, Tensor]:
        """The training losses under the framework's own names, each a scalar.

        targets: of the same objects as ``ground_truth``, with whatever else they are to be learnt by.
        """

    def forward(self, images: list[Tensor], targets: Targets | None = None) -> Any:
        """Losses in training mode, detections (boxes, labels, scores) in eval mode.

        Raises: ShapeError: targets that do not fit the images.
            ConfigError: values that do not fit the model, or a method of the user's own that would not be called.
        """
        if not self.training:
            return self.model(images)
        refuse_overrides(self.model, self.replaced)  # they may have come since
        check_targets(images, targets, self.needed_fields)
        image_list, resized = self.model.transform(images, [dict(target) for target in targets or ()])
        objects, crowds = split_crowds(resized, self.needed_fields)
        ground_truth = self._ground_truth(objects, crowds)
        features = self.model.backbone(image_list.tensors)
        features = {"0": features} if isinstance(features, Tensor) else features
        return self.losses(image_list, features, ground_truth, objects)

    def number_at(self, *paths: str) -> int:
        """The first of these numbers that the model has.

        Raises: ConfigError: it has none of them.
        """
        for path in paths:
            number = reduce(lambda part, name: getattr(part, name, None), path.split("."), self.model)
            if isinstance(number, int):
                return number
        raise ConfigError(
            f"the number of classes{', background included,' * self.label_offset} is read from "
            f"model.{' or model.'.join(paths)}, but this {type(self.model).__name__} has no such number; set it"
        )

    def _ground_truth(self, objects: Targets, crowds: list[Tensor] | None) -> GroundTruth:
        boxes = [target["boxes"] for target in objects]
        labels = [target["labels"].long() - self.label_offset for target in objects]
        ground_truth = GroundTruth.from_lists(boxes, labels, crowds, weights_of(objects))
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
