"""One head of a detector: the equation, with its slots filled.

    L_classify = (1/Z) · Σ w_i ℓ_cls(z_i, t_i)            w = w_select · w_classify
    L_regress  = (1/Z) · Σ w_i ℓ_box(z_i, t_i), positives  w = w_select · w_regress

A detector's adapter turns its framework's tensors into a `HeadOutput`; all that follows is the same for all of them.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hardmine.assign import Assigner
from hardmine.core.boxes import BoxCoder, at_least_float32, paired_iou
from hardmine.core.samples import Assignment, Evidence, GroundTruth, Predictions, Samples
from hardmine.equation.place import Place, is_listwise
from hardmine.equation.recipe import SLOTS, HeadTraits, Recipe, Slot, Slots
from hardmine.equation.slot import LossSlot, evaluate, one_weight_each, per_sample
from hardmine.equation.training_time import TrainingTime
from hardmine.errors import ConfigError
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.sampling import Sampling

BEFORE_HEAD: frozenset[Evidence] = frozenset({"boxes", "labels", "noise", "progress"})  # known before the head has run

__all__ = ["BEFORE_HEAD", "Head", "HeadLosses", "HeadOutput", "UnreducedLosses"]


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """What a head predicts for a batch, in this project's conventions.

    logits: (B, N, C) for sigmoid heads, (B, N, C + 1) with background last for softmax heads.
    codes: (B, N, 4) box codes.  anchors: (B, N, 4) the boxes they are relative to.
    """

    logits: Tensor
    codes: Tensor
    anchors: Tensor

    def at_least_float32(self) -> "HeadOutput":
        """Losses of a mixed-precision model are computed in float32."""
        return HeadOutput(*map(at_least_float32, (self.logits, self.codes, self.anchors)))


@dataclass(frozen=True, slots=True)
class UnreducedLosses:
    """classification: (B, N) or (B, N, C), None where the loss is one number for the whole batch.

    regression: (B, N) or (B, N, 4), 0 where not positive.
    """

    classification: Tensor | None
    regression: Tensor


@dataclass(frozen=True, slots=True)
class HeadLosses:
    """classify, regress: scalars.  kept: the samples that count.  selected: (B, N), how much each does."""

    classify: Tensor
    regress: Tensor
    kept: Samples
    selected: Tensor


class Head(nn.Module):
    """The losses of one head under a recipe.

    Raises: ConfigError: the recipe fills an unknown slot, or one with a part of the wrong kind.
        EvidenceError: a part needs evidence that the head does not have.
    """

    def __init__(
        self, traits: HeadTraits, defaults: Slots, default_assigner: Assigner, coder: BoxCoder, recipe: Recipe
    ):
        super().__init__()
        self.traits, self.coder, self.time = traits, coder, TrainingTime()
        chosen = recipe.slots_on(traits)
        if unknown := sorted(set(chosen) - set(SLOTS)):
            raise ConfigError(f"recipe {recipe.name!r} fills {', '.join(unknown)}; a head has {', '.join(SLOTS)}")
        slots = {name: chosen.get(name, Slot()).over(defaults[name]) for name in SLOTS}
        evidence = traits.evidence - _absent_under(slots)
        place = {name: Place(recipe.name, traits, name, evidence) for name in ("assign", *SLOTS)}
        self.assigner = place["assign"].assigner(recipe.assigner_on(traits) or default_assigner)
        self.select: Sampling = place["select"].sampling(slots["select"])
        self.classify: LossSlot[ClassificationLoss] = place["classify"].filled(slots["classify"], ClassificationLoss)
        self.regress: LossSlot[RegressionLoss] = place["regress"].filled(slots["regress"], RegressionLoss)
        self.needs = self.select.needs | self.classify.needs | self.regress.needs  # what is not read is not computed

    def forward(
        self,
        output: HeadOutput,
        ground_truth: GroundTruth,
        assignment: Assignment,
        boxes: Tensor,
        selected: Tensor | None = None,
    ) -> HeadLosses:
        """Both losses of the head, given what is to be predicted; boxes (B, N, 4) are as in `look`.

        selected: (B, N) how much each sample counts, where that has been chosen before.
        """
        losses, samples = self.look(output, ground_truth, assignment, boxes)
        if selected is None:
            selected = self.choose(samples)
        selected = ground_truth.weigh(selected, assignment)
        kept = samples.keep(selected > 0)
        return HeadLosses(*self.reduce(losses, kept, selected), kept, selected)

    def choose(self, samples: Samples) -> Tensor:
        """How much each sample counts for both losses, (B, N).

        Raises: ShapeError: the sampling of the select slot has weights of its own for each class.
        """
        return one_weight_each(self.select, samples, "sample", "'classify' or 'regress'")

    def predictions(self, output: HeadOutput) -> Predictions:
        """What the head says of each sample before anything is assigned to it."""
        logits = output.logits.detach()
        scores = logits.sigmoid() if self.traits.activation == "sigmoid" else logits.softmax(dim=-1)[..., :-1]
        return Predictions(self.coder.decode(output.codes.detach(), output.anchors), scores)

    def before(self, assignment: Assignment, ground_truth: GroundTruth, boxes: Tensor) -> Samples:
        """The evidence there is before the head has run; samples of an object of weight 0 are ignored from here on."""
        assignment = ground_truth.counted(assignment)
        return Samples(
            assignment,
            labels=ground_truth.labels_of(assignment),
            boxes=boxes.detach() if "boxes" in self.traits.evidence else None,
            noise=torch.rand(boxes.shape[:2], device=boxes.device) if "noise" in self.needs else None,
            progress=self.time.of(boxes[..., 0]) if "progress" in self.needs else None,
        )

    def look(
        self, output: HeadOutput, ground_truth: GroundTruth, assignment: Assignment, boxes: Tensor
    ) -> tuple[UnreducedLosses, Samples]:
        """Loss of every sample before any weight, and all the evidence that a part of the head reads.

        boxes: (B, N, 4), what the samples are before regression. Only the logits keep their gradient. The losses among
        the evidence are times the weight of the sample's object, so that what hardly counts does not rank as hard; for
        a listwise loss, which takes no weights, they are as they are.
        """
        samples = self.before(assignment, ground_truth, boxes)
        regression, code_error = self._box_loss(output, ground_truth, samples.assignment)
        samples = replace(samples, logits=output.logits, code_error=code_error)
        samples = self._with_predictions(samples, output, ground_truth)
        if self.classify.loss.listwise:
            return UnreducedLosses(None, regression), self._with_loss(
                samples, "regression_loss", per_sample(regression)
            )
        classification = evaluate(self.classify.loss, samples)
        for name, loss in (("regression_loss", regression), ("classification_loss", classification)):
            samples = self._with_loss(samples, name, ground_truth.weigh(per_sample(loss), samples.assignment))
        return UnreducedLosses(classification, regression), samples

    def _with_loss(self, samples: Samples, name: str, loss: Tensor) -> Samples:
        """The samples with their losses (B, N) by that name, where a part of the head asks for it."""
        return replace(samples, **{name: loss}) if name in self.needs else samples

    def reduce(self, losses: UnreducedLosses, kept: Samples, selected: Tensor) -> tuple[Tensor, Tensor]:
        """The sums of the classify and the regress slot over what the select slot kept, with weights (B, N)."""
        if losses.classification is None:
            classification = evaluate(self.classify.loss, kept)
        else:
            classification = self.classify.sum(losses.classification, kept, selected)
        if self.classify.also is not None:
            classification = classification + evaluate(self.classify.also, kept)
        regression = self.regress.sum(losses.regression, kept, selected)
        factor = self.classify.factor(classification, regression)
        return classification * factor, regression * self.regress.factor(classification, regression)

    def _with_predictions(self, samples: Samples, output: HeadOutput, ground_truth: GroundTruth) -> Samples:
        """The samples with their predicted boxes, and how good these are, where a part of the head asks for it."""
        assignment, asked = samples.assignment, self.needs
        if assignment.quality is not None:  # the assigner has said it
            asked = asked - {"quality"}
        if not asked & {"predicted_boxes", "predicted_iou", "quality"}:
            return samples
        predicted = self.coder.decode(output.codes.detach(), output.anchors)
        iou = paired_iou(predicted, ground_truth.boxes_of(assignment).to(predicted.dtype))
        iou = torch.where(assignment.is_positive, iou, 0)
        if assignment.quality is None:
            assignment = replace(assignment, quality=iou)
        return replace(samples, assignment=assignment, predicted_boxes=predicted, predicted_iou=iou)

    def _box_loss(
        self, output: HeadOutput, ground_truth: GroundTruth, assignment: Assignment
    ) -> tuple[Tensor, Tensor | None]:
        """Loss (B, N), or of box codes (B, N, 4), and where a part asks for it the difference of the codes (B, N, 4).

        All but positives are computed on a unit box, so that no padding can turn into NaN.
        """
        positive = assignment.is_positive.unsqueeze(-1)
        unit = torch.arange(4, device=output.anchors.device) // 2  # (0, 0, 1, 1), without a copy from the host
        anchors = torch.where(positive, output.anchors, unit)
        target = torch.where(positive, ground_truth.boxes_of(assignment).to(anchors.dtype), unit)
        codes = torch.where(positive, output.codes, 0)
        if self.regress.loss.space == "box":
            loss = self.regress.loss(self.coder.decode(codes, anchors), target)
            return torch.where(positive.squeeze(-1), loss, 0), None
        target_codes = self.coder.encode(target, anchors)
        loss = torch.where(positive, self.regress.loss(codes, target_codes), 0)
        if "code_error" not in self.needs:
            return loss, None
        return loss, torch.where(positive, (codes - target_codes).detach(), 0)


def _absent_under(slots: Slots) -> frozenset[Evidence]:
    """Evidence that no part of a head can have under these slots."""
    absent: set[Evidence] = set()
    if is_listwise(slots["classify"].loss):
        absent.add("classification_loss")
    if getattr(slots["regress"].loss, "space", "code") == "box":
        absent.add("code_error")
    return frozenset(absent)
