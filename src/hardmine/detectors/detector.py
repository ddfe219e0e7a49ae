"""What every adapted detector is, of whatever framework: its model, untouched, and our losses beside it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hardmine.core.samples import GroundTruth
from hardmine.detectors.targets import Targets, check_targets, missed_of, split_crowds, weights_of
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.head import Head
from hardmine.equation.training_time import set_progress
from hardmine.errors import ConfigError

__all__ = ["Detector"]

LAST = "last"
"""The layer of a set-prediction detector that its detections come from; those before it have a head each as well."""


class Detector(nn.Module, ABC):
    """A detector under a recipe: ``(images, targets) -> dict of losses`` in training mode, the model itself in eval.

    Images are (3, H, W) floats in [0, 1], targets dicts with the framework's own labels: ``boxes`` (G, 4) and
    ``labels`` (G,), and optionally ``iscrowd`` (G,), objects that are neither to be found nor background, and
    ``weights`` (G,), how much each object counts (a listwise loss has no weights: there only 0 makes a difference).
    ``missed`` (G,) says which objects mining found missed, to a detector that was told to `reassign_missed`.
    The model's parameters, its state_dict and its inference stay as they are: it is `model`.
    """

    label_offset: ClassVar[int] = 0
    """What the framework adds to our labels 0..C-1: 1 where its class 0 is the background."""

    needs_proposals: ClassVar[bool] = False
    """Whether it finds objects only among boxes that it is given, `proposals` of each target, in eval mode, too."""

    classification_losses: ClassVar[tuple[str, ...]] = ("classification", "loss_classifier")
    """How the names of the losses begin that say how well classes are told apart."""

    def __init__(self, model: Any):
        super().__init__()
        self.model: Any = model

    @property
    def needed_fields(self) -> tuple[str, ...]:
        """What every target must have."""
        return ("boxes", "labels")

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """C, without background."""

    @property
    def final_head(self) -> Head | FrameworkHead:
        """The head whose scores are those of the detections: the one called "last", or else the last of its modules."""
        heads = {name: of for name, of in self.named_modules() if isinstance(of, Head | FrameworkHead)}
        return next((of for name, of in heads.items() if name.rpartition(".")[2] == LAST), [*heads.values()][-1])

    @abstractmethod
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """The model's own detections: of each image boxes (K, 4) in its pixels, labels and scores (K,)."""

    @abstractmethod
    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Any, Targets]:
        """The batch as the model takes it, and the targets in its pixels."""

    @abstractmethod
    def losses(self, batch: Any, ground_truth: GroundTruth, objects: Targets) -> dict[str, Tensor]:
        """The training losses under the framework's own names, each a scalar.

        objects: targets of the same objects as ``ground_truth``, with whatever else they are to be learnt by.
        """

    def initialize_prior(self, prior: float) -> None:
        """Makes every class start as unlikely as ``prior`` says, where the detector does not see to that itself."""

    def set_progress(self, progress: float) -> None:
        """Tells the heads how far training is, in [0, 1], before each step; recipes with a schedule ask for it.

        Raises: ConfigError: a number out of [0, 1].
        """
        set_progress(self, progress)

    def start_epoch(self, epoch: int, num_epochs: int) -> None:
        """Told before each epoch, 1 .. num_epochs, for losses that change with it; by default nothing does."""

    def forward(self, images: list[Tensor], targets: Targets | None = None) -> Any:
        """Losses in training mode, detections (boxes, labels, scores) in eval mode.

        Raises: ShapeError: targets that do not fit the images.  ConfigError: values that do not fit the model.
        """
        if not self.training:
            return self.detect(images)
        check_targets(images, targets, self.needed_fields)
        batch, resized = self.resized(images, [dict(target) for target in targets or ()])
        objects, crowds = split_crowds(resized, self.needed_fields)
        return self.losses(batch, self._ground_truth(objects, crowds), objects)

    def _ground_truth(self, objects: Targets, crowds: list[Tensor] | None) -> GroundTruth:
        boxes = [target["boxes"] for target in objects]
        labels = [target["labels"].long() - self.label_offset for target in objects]
        ground_truth = GroundTruth.from_lists(boxes, labels, crowds, weights_of(objects), missed_of(objects))
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
