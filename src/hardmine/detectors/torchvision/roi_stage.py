"""One stage of RoI classification and box regression under a recipe, and OHEM's two passes through it.

A sampling in the select slot that ranks by loss needs the losses of *all* proposals, but only what it keeps needs a
gradient. The paper runs a read-only copy of the head first. We run the same head twice: over all proposals without
gradient, then over the ``budget`` kept ones with it. Gradients are those of the naive plan (all proposals with
gradient, the losses of the others zeroed), at a fraction of its memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hardmine.assign import MaxIoU
from hardmine.core.boxes import DeltaCoder
from hardmine.core.samples import Activation, Assignment, Evidence, GroundTruth, Samples
from hardmine.equation.head import BEFORE_HEAD, Head, HeadLosses, HeadOutput
from hardmine.equation.normalize import PerSampled
from hardmine.equation.recipe import HeadTraits, Recipe, Slot, Slots
from hardmine.errors import ConfigError, ShapeError
from hardmine.losses import CrossEntropy, SmoothL1
from hardmine.sampling import All, RandomBalanced

__all__ = ["Proposals", "RoIStage", "StageLosses", "max_iou", "random_sampling", "two_stage_head"]

AFTER_HEAD: frozenset[Evidence] = frozenset(get_args(Evidence))
LABEL_OFFSET = 1
"""Class 0 is the background."""
ROIS_AT_A_TIME = 256
"""Proposals of an image whose activations the pass without gradient holds at once: fewer than any step does anyway."""
BETA = 1 / 9
"""Of torchvision's smooth L1 in both heads."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """Those of a batch, padded, without gradient. boxes: (B, P, 4).  is_padding: (B, P)."""

    boxes: Tensor
    is_padding: Tensor

    @classmethod
    def from_lists(cls, proposals: Sequence[Tensor]) -> "Proposals":
        """Pads one (P_b, 4) an image."""
        boxes = pad_sequence([of_image.detach() for of_image in proposals], batch_first=True)
        there = [torch.zeros_like(of_image[:, 0], dtype=torch.bool) for of_image in proposals]
        return cls(boxes, pad_sequence(there, batch_first=True, padding_value=True))

    def with_objects(self, ground_truth: GroundTruth, *, count: bool = True) -> "Proposals":
        """These and, after them, the objects of each image (B, P + G); as padding where they do not count."""
        boxes = torch.cat([self.boxes, ground_truth.boxes.to(self.boxes.dtype)], dim=1)
        is_padding = ~ground_truth.is_object if count else torch.ones_like(ground_truth.is_object)
        return Proposals(boxes, torch.cat([self.is_padding, is_padding], dim=1))


@dataclass(frozen=True, slots=True)
class StageLosses:
    """losses: of the stage.  seen: what it predicted for each box that it has looked at, (B, K, ...).

    assignment: of these boxes.  place: (B, K), where each stood among those of `start`; None: in their order.
    num_proposals: of which so many were proposals, and the rest objects.
    """

    losses: HeadLosses
    seen: HeadOutput
    assignment: Assignment
    place: Tensor | None
    num_proposals: int

    @property
    def is_proposal(self) -> Tensor:
        """(B, K), False for an object, for padding and for what is ignored; computed where a next stage asks."""
        place, matched = self.place, self.assignment.matched_gt
        if place is None:
            place = torch.arange(matched.shape[1], device=matched.device)
        return self.assignment.is_valid & (place < self.num_proposals)


@dataclass(frozen=True, slots=True)
class RoIStage:
    """A box head and its predictor, and the slots of a recipe for them.

    head: the losses.  parts: has `box_head` and `box_predictor`.  pool: RoIAlign.  path: of the parts, below the model.
    two_pass: run over all proposals without gradient first, where the recipe ranks them by loss; False is the naive
    plan, one pass with gradient over all.
    objects_as_proposals: whether the stage also trains on the boxes of the objects themselves.
    """

    head: Head
    parts: Any
    pool: nn.Module
    path: str
    two_pass: bool = True
    objects_as_proposals: bool = True

    def start(self, proposals: Proposals, ground_truth: GroundTruth) -> tuple[Tensor, Samples]:
        """The boxes of the stage, (B, N, 4), the last of which are the objects, and what is known of them so far."""
        all_boxes = proposals.with_objects(ground_truth, count=self.objects_as_proposals)
        boxes = all_boxes.boxes
        assignment = self.head.assigner(boxes, ground_truth, is_padding=all_boxes.is_padding)
        return boxes, self.head.before(assignment, ground_truth, boxes)

    def learn(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        ground_truth: GroundTruth,
        boxes: Tensor,
        before: Samples,
    ) -> StageLosses:
        """What the stage learns from what `start` has given."""
        assignment, place, looked, selected = before.assignment, None, None, None
        num_proposals = boxes.shape[1] - ground_truth.boxes.shape[1]
        if self.head.select.needs <= BEFORE_HEAD:
            selected = self.head.choose(before)
        elif self.two_pass and self.head.select.budget is not None:
            looked, selected = self._choose_by_loss(features, image_sizes, ground_truth, boxes, assignment)
        if selected is not None:
            place, selected = _places_kept(selected, self.head.select.budget)
            boxes = boxes.gather(1, place.unsqueeze(-1).expand(-1, -1, 4))
            assignment = assignment.gather(place).only(selected > 0)
        output = self._output(features, image_sizes, boxes, ground_truth.labels_of(assignment))
        losses = self.head(output, ground_truth, assignment, boxes, selected)
        if looked is not None:
            return StageLosses(losses, looked, before.assignment, None, num_proposals)
        return StageLosses(losses, output, assignment, place, num_proposals)

    def _choose_by_loss(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        ground_truth: GroundTruth,
        boxes: Tensor,
        assignment: Assignment,
    ) -> tuple[HeadOutput, Tensor]:
        """The pass without gradient: what is predicted for all proposals, and how much each counts (B, N)."""
        self._refuse_batch_statistics()
        with torch.no_grad():
            output = self._output_in_parts(features, image_sizes, boxes, ground_truth.labels_of(assignment))
            _, samples = self.head.look(output, ground_truth, assignment, boxes)
            return output, self.head.choose(samples)

    def _output_in_parts(
        self, features: dict[str, Tensor], image_sizes: Sequence[tuple[int, int]], boxes: Tensor, labels: Tensor
    ) -> HeadOutput:
        """As `_output`, with the activations of ``ROIS_AT_A_TIME`` an image only, and of each just what is said."""
        parts = zip(boxes.split(ROIS_AT_A_TIME, dim=1), labels.split(ROIS_AT_A_TIME, dim=1), strict=True)
        said = [self._output(features, image_sizes, *part) for part in parts]
        logits, codes = (torch.cat([getattr(part, name) for part in said], dim=1) for name in ("logits", "codes"))
        return HeadOutput(logits, codes, boxes).at_least_float32()

    def _output(
        self, features: dict[str, Tensor], image_sizes: Sequence[tuple[int, int]], boxes: Tensor, labels: Tensor
    ) -> HeadOutput:
        """What the head predicts for the proposals (B, K, 4) with labels (B, K)."""
        pooled = self.parts.box_head(self.pool(features, list(boxes.unbind(0)), image_sizes))
        logits, codes = self.parts.box_predictor(pooled)
        batch, num = boxes.shape[:2]
        columns = self._box_columns(logits, codes, batch * num)
        column = (labels.clamp_min(0) + LABEL_OFFSET).clamp_max(columns - 1)  # of each sample's own class
        codes = codes.view(batch, num, columns, 4)
        codes = codes.gather(2, column.view(batch, num, 1, 1).expand(-1, -1, 1, 4)).squeeze(2)
        logits = logits.view(batch, num, -1).roll(-1, dims=-1)  # background from the first column to the last
        return HeadOutput(logits, codes, boxes).at_least_float32()

    def _box_columns(self, logits: Tensor, codes: Tensor, rois: int) -> int:
        """How many boxes a proposal is given: one of each class and the background, or one for all of them.

        Raises: ShapeError: the predictor gives something else.
        """
        scores = self.head.traits.num_classes + 1
        if logits.shape == (rois, scores) and codes.shape in ((rois, 4), (rois, 4 * scores)):
            return codes.shape[1] // 4
        raise ShapeError(
            f"{type(self.parts.box_predictor).__name__} gave scores {tuple(logits.shape)} and box codes "
            f"{tuple(codes.shape)}; expected ({rois}, {scores}), background first, and ({rois}, {4 * scores}), or "
            f"({rois}, 4) for one box of all classes"
        )

    def _refuse_batch_statistics(self) -> None:
        """Batch statistics of the first pass would differ from the second's, and both would enter the running ones."""
        for name, module in self.parts.named_modules():
            if name.startswith("box_") and isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
                raise ConfigError(
                    f"two passes need a RoI head without batch statistics, but {self.path}.{name} is a BatchNorm in "
                    f"training mode; freeze it (.eval()) or choose wrap(..., two_pass=False)"
                )


def two_stage_head(
    detector: str,
    name: Literal["rpn", "roi"],
    activation: Activation,
    *,
    num_classes: int,
    sampler: Any,
    assigner: MaxIoU,
    code_weights: tuple[float, float, float, float],
    recipe: Recipe,
) -> Head:
    """A head under a recipe; by default with this assigner, what torchvision's sampler does, and its losses."""
    coder = DeltaCoder(code_weights)
    traits = HeadTraits(
        detector=detector,
        name=name,
        activation=activation,
        num_classes=num_classes,
        evidence=AFTER_HEAD,
        code_scale=coder.scale,
        budget=sampler.batch_size_per_image,
    )
    return Head(traits, _slots(sampler, CrossEntropy(activation)), assigner, coder, recipe)


def max_iou(matcher: Any) -> MaxIoU:
    """What torchvision's matcher does.

    RPN: anchors of the lower band count if they are an object's best; RoI head: they do not.
    """
    force = "keep" if matcher.allow_low_quality_matches else "off"
    return MaxIoU(matcher.high_threshold, matcher.low_threshold, force_match=force)


def random_sampling(sampler: Any) -> RandomBalanced:
    """What torchvision's sampler does."""
    return RandomBalanced(sampler.batch_size_per_image, sampler.positive_fraction)


def _slots(sampler: Any, classification: CrossEntropy) -> Slots:
    return {
        "select": Slot(random_sampling(sampler)),
        "classify": Slot(All(), classification, PerSampled()),
        "regress": Slot(All(), SmoothL1(BETA), PerSampled()),
    }


def _places_kept(selected: Tensor, budget: int | None) -> tuple[Tensor, Tensor]:
    """Places of the ``budget`` proposals of each image with the largest weight, and these; unused ones weigh 0."""
    keep = min(budget or selected.shape[1], selected.shape[1])
    weights, index = selected.topk(keep, dim=1, sorted=False)
    return index, weights
