"""torchvision's Faster R-CNN, with masks and keypoints or without: two heads, and OHEM's two passes.

A sampling in the RoI head's select slot that ranks by loss needs the losses of *all* proposals, but only what it keeps
needs a gradient. The paper runs a read-only copy of the head first. We run the same head twice: over all proposals
without gradient, then over the ``budget`` kept ones with it. Gradients are those of the naive plan (all proposals with
gradient, the losses of the others zeroed), at a fraction of its memory.

Masks and keypoints, where the model has them, are no matter of a recipe: their branches see the positives that
torchvision's own sampler draws, neither all that a recipe looks at nor only what it finds hard. Under the framework's
own choice these are the very samples of the box head.
"""

from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from hardmine.assign import MaxIoU
from hardmine.core.boxes import DeltaCoder
from hardmine.core.samples import Activation, Assignment, Evidence, GroundTruth, Samples
from hardmine.detectors.targets import Targets
from hardmine.detectors.torchvision.detector import TorchvisionDetector
from hardmine.detectors.torchvision.replaced import FASTER_RCNN
from hardmine.detectors.torchvision.roi_branches import branch_fields, branch_losses
from hardmine.equation.head import BEFORE_HEAD, Head, HeadLosses, HeadOutput
from hardmine.equation.normalize import PerSampled
from hardmine.equation.recipe import HeadTraits, Recipe, Slot, Slots
from hardmine.errors import ConfigError, ShapeError
from hardmine.losses import CrossEntropy, SmoothL1
from hardmine.sampling import All, RandomBalanced

__all__ = ["FasterRCNNDetector"]

AFTER_HEAD: frozenset[Evidence] = frozenset(get_args(Evidence))


ROIS_AT_A_TIME = 256
"""Proposals of an image whose activations the pass without gradient holds at once: fewer than any step does anyway."""


class FasterRCNNDetector(TorchvisionDetector):
    """Faster R-CNN under a recipe; by default random sampling in both heads.

    Args: two_pass: run the RoI head over all proposals without gradient first, where the recipe ranks them by loss;
        False is the naive plan, one pass with gradient over all.
    Raises: ConfigError: a method that would not be called is a user's own.
    """

    label_offset = 1
    replaced = FASTER_RCNN

    def __init__(self, model: Any, recipe: Recipe, *, two_pass: bool = True):
        super().__init__(model)
        self.two_pass = two_pass
        rpn, roi = model.rpn, model.roi_heads
        self.rpn_head = _head(rpn, "rpn", "sigmoid", 1, recipe)
        self.roi_head = _head(roi, "roi", "softmax", self.num_classes, recipe)
        self.branch_sampling = _sampling(roi.fg_bg_sampler)

    @property
    def num_classes(self) -> int:
        predictor = "roi_heads.box_predictor"
        return self.number_at(f"{predictor}.cls_score.out_features", f"{predictor}.num_classes") - 1

    @property
    def needed_fields(self) -> tuple[str, ...]:
        return (*super().needed_fields, *branch_fields(self.model.roi_heads))

    def head_losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> dict[str, Tensor]:
        proposals, rpn = self._rpn_losses(images, features, ground_truth)
        of_proposals = self.roi_losses(images, features, ground_truth, targets, proposals)
        return {"loss_objectness": rpn.classify, "loss_rpn_box_reg": rpn.regress, **of_proposals}

    def roi_losses(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        ground_truth: GroundTruth,
        targets: Targets,
        proposals: list[Tensor],
    ) -> dict[str, Tensor]:
        """The losses of the second stage, given the proposals: one (K, 4) an image."""
        boxes, is_padding = _with_objects(proposals, ground_truth)
        assignment = self.roi_head.assigner(boxes, ground_truth, is_padding=is_padding)
        before = self.roi_head.before(assignment, ground_truth, boxes)
        roi = self._roi_losses(images, features, ground_truth, boxes, before)
        branches = self._branch_losses(images, features, targets, boxes, before)
        return {"loss_classifier": roi.classify, "loss_box_reg": roi.regress, **branches}

    def _branch_losses(
        self, images: ImageList, features: dict[str, Tensor], targets: Targets, boxes: Tensor, before: Samples
    ) -> dict[str, Tensor]:
        """Losses of masks and keypoints, on the positives that torchvision's own sampling takes by the same noise."""
        if not branch_fields(self.model.roi_heads):
            return {}
        noise = torch.rand(boxes.shape[:2], device=boxes.device) if before.noise is None else before.noise
        kept = (self.branch_sampling(replace(before, noise=noise)) > 0) & before.assignment.is_positive
        positives, matched = (
            [of_image[keep] for of_image, keep in zip(values, kept, strict=True)]
            for values in (boxes, before.assignment.matched_gt)
        )
        return branch_losses(self.model.roi_heads, features, images.image_sizes, positives, matched, targets)

    def _rpn_losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth
    ) -> tuple[list[Tensor], HeadLosses]:
        rpn, levels = self.model.rpn, list(features.values())
        objectness, deltas = rpn.head(levels)
        anchors = torch.stack(rpn.anchor_generator(images, levels))  # (B, N, 4)
        per_level = [level[0].numel() for level in objectness]
        objectness, deltas = concat_box_prediction_layers(objectness, deltas)
        objectness, deltas = objectness.view(len(anchors), -1, 1), deltas.view_as(anchors)
        decoded = self.rpn_head.coder.decode(deltas.detach(), anchors)
        proposals, _ = rpn.filter_proposals(decoded, objectness, images.image_sizes, per_level)
        any_object = replace(ground_truth, labels=torch.zeros_like(ground_truth.labels))
        assignment = self.rpn_head.assigner(anchors, any_object)
        output = HeadOutput(objectness, deltas, anchors).at_least_float32()
        return proposals, self.rpn_head(output, any_object, assignment, anchors)

    def _roi_losses(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        ground_truth: GroundTruth,
        boxes: Tensor,
        before: Samples,
    ) -> HeadLosses:
        assignment, selected = before.assignment, None
        if self.roi_head.select.needs <= BEFORE_HEAD:
            selected = self.roi_head.choose(before)
        elif self.two_pass and self.roi_head.select.budget is not None:
            self._refuse_batch_statistics()
            with torch.no_grad():
                output = self._roi_output_in_parts(images, features, boxes, ground_truth.labels_of(assignment))
                _, samples = self.roi_head.look(output, ground_truth, assignment, boxes)
                selected = self.roi_head.choose(samples)
        if selected is not None:
            boxes, assignment, selected = _gather_kept(boxes, assignment, selected, self.roi_head.select.budget)
        output = self._roi_output(images, features, boxes, ground_truth.labels_of(assignment))
        return self.roi_head(output, ground_truth, assignment, boxes, selected)

    def _roi_output_in_parts(
        self, images: ImageList, features: dict[str, Tensor], boxes: Tensor, labels: Tensor
    ) -> HeadOutput:
        """As `_roi_output`, with the activations of ``ROIS_AT_A_TIME`` an image only, and of each just what is said."""
        parts = zip(boxes.split(ROIS_AT_A_TIME, dim=1), labels.split(ROIS_AT_A_TIME, dim=1), strict=True)
        said = [self._roi_output(images, features, *part) for part in parts]
        logits, codes = (torch.cat([getattr(part, name) for part in said], dim=1) for name in ("logits", "codes"))
        return HeadOutput(logits, codes, boxes).at_least_float32()

    def _roi_output(self, images: ImageList, features: dict[str, Tensor], boxes: Tensor, labels: Tensor) -> HeadOutput:
        """What the head predicts for the proposals (B, K, 4) with labels (B, K)."""
        roi = self.model.roi_heads
        pooled = roi.box_head(roi.box_roi_pool(features, list(boxes.unbind(0)), images.image_sizes))
        logits, codes = roi.box_predictor(pooled)
        batch, num = boxes.shape[:2]
        columns = self._box_columns(logits, codes, batch * num)
        column = (labels.clamp_min(0) + self.label_offset).clamp_max(columns - 1)  # of each sample's own class
        codes = codes.view(batch, num, columns, 4)
        codes = codes.gather(2, column.view(batch, num, 1, 1).expand(-1, -1, 1, 4)).squeeze(2)
        logits = logits.view(batch, num, -1).roll(-1, dims=-1)  # background from the first column to the last
        return HeadOutput(logits, codes, boxes).at_least_float32()

    def _box_columns(self, logits: Tensor, codes: Tensor, rois: int) -> int:
        """How many boxes a proposal is given: one of each class and the background, or one for all of them.

        Raises: ShapeError: the predictor gives something else.
        """
        scores = self.num_classes + 1
        if logits.shape == (rois, scores) and codes.shape in ((rois, 4), (rois, 4 * scores)):
            return codes.shape[1] // 4
        raise ShapeError(
            f"{type(self.model.roi_heads.box_predictor).__name__} gave scores {tuple(logits.shape)} and box codes "
            f"{tuple(codes.shape)}; expected ({rois}, {scores}), background first, and ({rois}, {4 * scores}), or "
            f"({rois}, 4) for one box of all classes"
        )

    def _refuse_batch_statistics(self) -> None:
        """Batch statistics of the first pass would differ from the second's, and both would enter the running ones."""
        for name, module in self.model.roi_heads.named_modules():
            if name.startswith("box_") and isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
                raise ConfigError(
                    f"two passes need a RoI head without batch statistics, but roi_heads.{name} is a BatchNorm in "
                    f"training mode; freeze it (.eval()) or choose wrap(..., two_pass=False)"
                )


def _assigner(matcher: Any) -> MaxIoU:
    """RPN: anchors of the lower band count if they are an object's best; RoI head: they do not."""
    force = "keep" if matcher.allow_low_quality_matches else "off"
    return MaxIoU(matcher.high_threshold, matcher.low_threshold, force_match=force)


def _head(part: Any, name: Literal["rpn", "roi"], activation: Activation, num_classes: int, recipe: Recipe) -> Head:
    """A head of torchvision's, by its sampler, matcher and box coder."""
    coder, budget = DeltaCoder(part.box_coder.weights), part.fg_bg_sampler.batch_size_per_image
    traits = HeadTraits(
        detector="fasterrcnn",
        name=name,
        activation=activation,
        num_classes=num_classes,
        evidence=AFTER_HEAD,
        code_scale=coder.scale,
        budget=budget,
    )
    slots = _slots(part.fg_bg_sampler, CrossEntropy(activation))
    return Head(traits, slots, _assigner(part.proposal_matcher), coder, recipe)


def _sampling(sampler: Any) -> RandomBalanced:
    return RandomBalanced(sampler.batch_size_per_image, sampler.positive_fraction)


def _slots(sampler: Any, classification: CrossEntropy) -> Slots:
    return {
        "select": Slot(_sampling(sampler)),
        "classify": Slot(All(), classification, PerSampled()),
        "regress": Slot(All(), SmoothL1(1 / 9), PerSampled()),
    }


def _with_objects(proposals: list[Tensor], ground_truth: GroundTruth) -> tuple[Tensor, Tensor]:
    """Proposals and objects of each image, padded: boxes (B, N, 4), is_padding (B, N)."""
    found = pad_sequence([boxes.detach() for boxes in proposals], batch_first=True)
    there = [torch.zeros_like(boxes[:, 0], dtype=torch.bool) for boxes in proposals]
    missing = pad_sequence(there, batch_first=True, padding_value=True)
    boxes = torch.cat([found, ground_truth.boxes.to(found.dtype)], dim=1)
    return boxes, torch.cat([missing, ~ground_truth.is_object], dim=1)


def _gather_kept(
    boxes: Tensor, assignment: Assignment, selected: Tensor, budget: int | None
) -> tuple[Tensor, Assignment, Tensor]:
    """The ``budget`` proposals of each image with the largest weight; unused places are ignored, with weight 0."""
    keep = min(budget or selected.shape[1], selected.shape[1])
    weights, index = selected.topk(keep, dim=1, sorted=False)
    return boxes.gather(1, index.unsqueeze(-1).expand(-1, -1, 4)), assignment.gather(index).only(weights > 0), weights
