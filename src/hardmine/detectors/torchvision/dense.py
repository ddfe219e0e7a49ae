"""One-stage detectors of torchvision: every anchor is a sample, one head, one pass."""

import math
import operator
from abc import abstractmethod
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from hardmine.assign import Assigner, AssignerEvidence
from hardmine.core.boxes import BoxCoder
from hardmine.core.samples import Activation, Evidence, GroundTruth, Levels
from hardmine.detectors.targets import Targets
from hardmine.detectors.torchvision.detector import TorchvisionDetector
from hardmine.equation.head import Head, HeadLosses, HeadOutput
from hardmine.equation.recipe import HeadTraits, Recipe, Slots
from hardmine.losses import initialize_prior

__all__ = ["DenseDetector"]

EVIDENCE: frozenset[Evidence] = frozenset(get_args(Evidence))
ASSIGN_EVIDENCE: frozenset[AssignerEvidence] = frozenset(get_args(AssignerEvidence))


class DenseDetector(TorchvisionDetector):
    """What RetinaNet, FCOS and SSD share; each says how it assigns, codes boxes and fills its slots by default."""

    name: ClassVar[str]
    activation: ClassVar[Activation]
    evidence: ClassVar[frozenset[Evidence]] = EVIDENCE

    def __init__(self, model: Any, recipe: Recipe):
        super().__init__(model)
        coder = self.coder()
        traits = HeadTraits(
            detector=self.name,
            name="dense",
            activation=self.activation,
            num_classes=self.num_classes,
            evidence=self.evidence,
            code_scale=coder.scale,
            assign_evidence=ASSIGN_EVIDENCE,
        )
        self.head = Head(traits, self.default_slots(), self.default_assigner(), coder, recipe)

    @abstractmethod
    def default_assigner(self) -> Assigner: ...

    @abstractmethod
    def default_slots(self) -> Slots: ...

    @abstractmethod
    def coder(self) -> BoxCoder: ...

    @abstractmethod
    def classification_layer(self) -> tuple[nn.Module, int]:
        """The layer, or layers, that give the class scores, and how many scores an anchor has."""

    def initialize_prior(self, prior: float) -> None:
        """Makes every class start as unlikely as ``prior`` says; for a classification layer that is not trained yet."""
        module, scores = self.classification_layer()
        background = 0 if self.activation == "softmax" else None
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None and layer.out_channels % scores == 0:
                initialize_prior(layer, scores, self.activation, prior, background)

    def class_scores(self, outputs: dict[str, Tensor]) -> Tensor:
        """The framework's logits in our order, (B, N, C) or (B, N, C + 1) with background last."""
        return outputs["cls_logits"]

    def further_losses(
        self, outputs: dict[str, Tensor], head: HeadOutput, ground_truth: GroundTruth, losses: HeadLosses
    ) -> dict[str, Tensor]:
        """Losses of a detector's other branches, by name; none unless it has some."""
        return {}

    def head_losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> dict[str, Tensor]:
        levels = list(features.values())
        outputs = self.model.head(levels)
        grid = torch.stack(self.model.anchor_generator(images, levels))  # (B, N, 4): one for the whole batch
        head_output = HeadOutput(self.class_scores(outputs), outputs["bbox_regression"], grid).at_least_float32()
        anchors, needs = head_output.anchors, self.head.assigner.needs
        predictions = self.head.predictions(head_output) if "predictions" in needs else None
        pyramid = self._levels(images, levels) if "levels" in needs else None
        assignment = self.head.assigner(anchors, ground_truth, levels=pyramid, predictions=predictions)
        losses = self.head(head_output, ground_truth, assignment, anchors)
        further = self.further_losses(outputs, head_output, ground_truth, losses)
        return {"classification": losses.classify, "bbox_regression": losses.regress, **further}

    def _levels(self, images: ImageList, levels: list[Tensor]) -> Levels:
        """How the samples lie on the pyramid; strides are powers of two, whatever the padding of small maps."""
        per_location = tuple(self.model.anchor_generator.num_anchors_per_location())
        cells = [level.shape[-2] * level.shape[-1] for level in levels]
        strides = [2.0 ** round(math.log2(images.tensors.shape[-1] / level.shape[-1])) for level in levels]
        return Levels(tuple(map(operator.mul, cells, per_location)), tuple(strides), per_location)
