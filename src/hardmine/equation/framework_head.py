"""A head whose framework assigns, computes its losses and divides them itself: a recipe's weights multiply into them.

    L_classify = (1/Z) · Σ w_i ℓ_cls(z_i, t_i)            w = w_select · w_classify;  ℓ and Z the framework's own
    L_regress  = (1/Z) · Σ w_i ℓ_box(z_i, t_i), positives  w = w_select · w_regress

Two phases: the framework's unreduced losses are looked at, without gradient where a method ranks by them, then they are
summed with the weights. A recipe that brings a classification loss of its own has that summed in the framework's place,
divided by its own Z or else by the framework's. The modules of this head stand outside the framework's model, so that
no buffer of a sampling is in a checkpoint of its, in its averaged weights or moved by it.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hardmine.core.boxes import at_least_float32, paired_iou, pairwise_overlap_of_second, side_by_side
from hardmine.core.samples import Assignment, Evidence, GroundTruth, Predictions, Samples
from hardmine.equation.place import Place, is_listwise
from hardmine.equation.recipe import SLOTS, HeadTraits, Recipe, Slot
from hardmine.equation.slot import call, evaluate, one_weight_each, per_sample, weighted_sum
from hardmine.equation.training_time import TrainingTime
from hardmine.errors import ConfigError, EvidenceError, FrameworkError, ShapeError
from hardmine.losses import ClassificationLoss
from hardmine.sampling import All
from hardmine.sampling.base import times

__all__ = ["FrameworkHead", "FrameworkOutput", "FrameworkWeights", "check_agreement"]

IGNORE_OVERLAP = 0.5
"""A negative with more than this share of its box in one ignore region is ignored, as for our own assigners."""
AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Relative difference of two sums of the same terms in other orders; in half precision `ROUGH_AGREEMENT`."""
ROUGH_AGREEMENT = 3e-2


@dataclass(frozen=True, slots=True)
class FrameworkOutput:
    """What a framework says of the samples of a head, in this project's conventions.

    matched_gt: (B, N) as in `Assignment`.  logits: (B, N, C), with their gradient; (B, N, C + 1) of a softmax head.
    boxes: (B, N, 4) predicted, in pixels.  places: (B, N, 4), by which a sample lies in an ignore region: an anchor's
    cell, or the predicted box.
    classification: (B, N) or (B, N, C) the framework's unreduced loss, with gradient, class weights in it.
    regression: (B, N) its unreduced box losses taken together, without gradient, 0 where not positive.
    divisor: its own Z, a scalar.  quality: (B, N), the soft target of positives, where it has such.
    """

    matched_gt: Tensor
    logits: Tensor
    boxes: Tensor
    places: Tensor
    classification: Tensor
    regression: Tensor
    divisor: Tensor | float
    quality: Tensor | None = None


@dataclass(frozen=True, slots=True)
class FrameworkWeights:
    """classification: the classification loss, a scalar, divided and not yet times the framework's gain.

    classify: (B, N) or (B, N, C), regress: (B, N): how much each sample counts in the two losses.
    """

    classification: Tensor
    classify: Tensor
    regress: Tensor


class FrameworkHead(nn.Module):
    """The weights of one such head under a recipe.

    Raises: ConfigError: the recipe fills an unknown slot.  EvidenceError: a part needs evidence that the head does not
        have, or would replace what the framework keeps.
    """

    def __init__(self, traits: HeadTraits, recipe: Recipe):
        super().__init__()
        self.traits, self.time = traits, TrainingTime()
        chosen = recipe.slots_on(traits)
        if unknown := sorted(set(chosen) - set(SLOTS)):
            raise ConfigError(f"recipe {recipe.name!r} fills {', '.join(unknown)}; a head has {', '.join(SLOTS)}")
        slots = {name: chosen.get(name, Slot()).over(Slot(All())) for name in SLOTS}
        absent = {"classification_loss"} if is_listwise(slots["classify"].loss) else set()
        place = {name: Place(recipe.name, traits, name, traits.evidence - absent) for name in ("assign", *SLOTS)}
        self.assigner = recipe.assigner_on(traits)
        if self.assigner is not None:
            _refuse_assigner_of_sets(place["assign"])
            place["assign"].assigner(self.assigner)
        self.select = place["select"].sampling(slots["select"])
        self.classify = place["classify"].sampling(slots["classify"])
        self.regress = place["regress"].sampling(slots["regress"])
        _refuse_replaced(place["regress"], slots["regress"], ("loss", "normalize", "scale", "also"))
        own_z = ("normalize",) if slots["classify"].loss is None else ()
        _refuse_replaced(place["classify"], slots["classify"], ("scale", *own_z))
        if not isinstance(slots["classify"].loss, ClassificationLoss | None):
            raise ConfigError(f"{place['classify']}: got {slots['classify'].loss}, expected a ClassificationLoss")
        place["classify"].losses(slots["classify"])
        self.loss, self.normalize, self.also = (
            getattr(slots["classify"], name) for name in ("loss", "normalize", "also")
        )
        samplings = (self.select, self.classify, self.regress)
        others = (self.loss, self.normalize, self.also)
        self.needs: frozenset[Evidence] = frozenset().union(*(getattr(p, "needs", ()) for p in (*samplings, *others)))

    @property
    def sets_nothing(self) -> bool:
        """Whether the recipe leaves this head as the framework has it: then its own numbers stand, bit for bit."""
        parts = (self.assigner, self.loss, self.normalize, self.also)
        samplings = (self.select, self.classify, self.regress)
        return all(part is None for part in parts) and all(type(sampling) is All for sampling in samplings)

    @property
    def is_untouched(self) -> bool:
        """Whether it sets nothing and need not be called.

        A head with a hook is to be called in any case: somebody looks at what it is given.
        """
        return self.sets_nothing and not (self._forward_hooks or self._forward_pre_hooks)

    def leaves_boxes(self, ground_truth: GroundTruth) -> bool:
        """Whether all positives weigh 1 in the box loss, so that the framework's own sums stand."""
        return type(self.select) is type(self.regress) is All and ground_truth.weights is None

    def forward(self, output: FrameworkOutput, ground_truth: GroundTruth) -> FrameworkWeights:
        """How much each sample counts, and the classification loss; boxes of the ground truth are in pixels.

        Raises: ShapeError: a sampling has weights of its own for each class where the loss has one a sample.
        """
        samples = self._samples(output, ground_truth)
        loss, samples = self._look(output, samples, ground_truth)
        selected = one_weight_each(self.select, samples, "sample", "'classify'")
        selected = ground_truth.weigh(selected, samples.assignment)
        kept = samples.keep(selected > 0)
        classify = times(selected, call(self.classify, kept))
        regress = selected * call(self.regress, kept)
        return FrameworkWeights(self._classification(loss, output, kept, classify), classify, regress)

    def predictions(self, output: FrameworkOutput) -> Predictions:
        """What the head says of each sample, without gradient."""
        logits = at_least_float32(output.logits.detach())
        scores = logits.sigmoid() if self.traits.activation == "sigmoid" else logits.softmax(dim=-1)[..., :-1]
        return Predictions(at_least_float32(output.boxes.detach()), scores)

    def _samples(self, output: FrameworkOutput, ground_truth: GroundTruth) -> Samples:
        """The evidence but for the losses; what is in an ignore region, or of an object of weight 0, is ignored."""
        iou = at_least_float32(output.boxes[..., 0]) * 0
        assignment = ground_truth.counted(Assignment(output.matched_gt, iou, output.quality))
        assignment = _outside_ignore_regions(assignment, output.places, ground_truth.ignore_regions)
        if self.needs & {"predicted_iou", "quality"}:
            iou = paired_iou(output.boxes, ground_truth.boxes_of(assignment).to(output.boxes.dtype))
            iou = at_least_float32(torch.where(assignment.is_positive, iou, 0))
            assignment = replace(assignment, iou=iou, quality=iou if output.quality is None else output.quality)
        noise = torch.rand(iou.shape, device=iou.device) if "noise" in self.needs else None
        return Samples(
            assignment,
            labels=ground_truth.labels_of(assignment),
            logits=at_least_float32(output.logits),
            predicted_boxes=at_least_float32(output.boxes),
            predicted_iou=iou,
            noise=noise,
            progress=self.time.of(iou) if "progress" in self.needs else None,
        )

    def _look(
        self, output: FrameworkOutput, samples: Samples, ground_truth: GroundTruth
    ) -> tuple[Tensor | None, Samples]:
        """The unreduced classification loss, None of a listwise one, and the samples with what each has lost.

        Losses among the evidence are times the weight of the sample's object, as in `Head.look`.
        """
        loss = output.classification
        if self.loss is not None:
            loss = None if is_listwise(self.loss) else evaluate(self.loss, samples)
        found = {"regression_loss": output.regression}
        if loss is not None and "classification_loss" in self.needs:
            found["classification_loss"] = per_sample(loss)
        weighed = {name: ground_truth.weigh(at_least_float32(of), samples.assignment) for name, of in found.items()}
        return loss, replace(samples, **weighed)

    def _classification(self, loss: Tensor | None, output: FrameworkOutput, kept: Samples, weights: Tensor) -> Tensor:
        if loss is None:
            total: Any = evaluate(self.loss, kept)
        elif weights.ndim > loss.ndim:
            raise ShapeError(
                f"weights {tuple(weights.shape)} of each class, but losses {tuple(loss.shape)} of each sample"
            )
        elif self.loss is None:
            total = _summed_as_theirs(loss, weights, output.divisor)
        else:
            z = output.divisor if self.normalize is None else self.normalize(kept.assignment, weights)
            total = weighted_sum(loss, weights, _as_column(z, loss))
        return total if self.also is None else total + evaluate(self.also, kept)


def check_agreement(
    what: str, ours: Tensor, theirs: Tensor, package: str, installed: str, *, smallest: float = 1.0
) -> None:
    """Holds the sum of unreduced losses against what the framework itself made of them; waits for the device.

    smallest: sums below it may differ by as much as one of that size.
    Raises: FrameworkError: they differ by more than rounding.
    """
    tolerance = AGREEMENT.get(theirs.dtype, ROUGH_AGREEMENT)
    ours, theirs = ours.detach().to(theirs.dtype), theirs.detach()
    if not torch.isclose(ours, theirs, rtol=tolerance, atol=tolerance * smallest):
        raise FrameworkError(
            f"{package} {installed} computes its {what} in another way than the versions that were tried: it gives "
            f"{float(theirs):.6g}, and its terms add up to {float(ours):.6g}; install a version that was tried"
        )


def _summed_as_theirs(loss: Tensor, weights: Tensor, z: Tensor | float) -> Tensor:
    """(1/Z) · Σ w ℓ in the order of the framework's own sum, which weights of 1 leave as it is, to the last bit."""
    weights = (weights if weights.ndim == loss.ndim else weights.unsqueeze(-1)).to(loss.dtype)
    return (torch.where(weights > 0, loss, 0) * weights).sum() / z


def _as_column(z: Tensor | float, loss: Tensor) -> Tensor:
    """Z as (1, 1), or (B, 1) where each image has its own."""
    z = z if isinstance(z, Tensor) else loss.new_tensor(z)
    return z if z.ndim == 2 else z.reshape(1, 1)


def _outside_ignore_regions(assignment: Assignment, places: Tensor, regions: Tensor) -> Assignment:
    if regions.shape[1] == 0:
        return assignment
    share = pairwise_overlap_of_second(regions.to(places.dtype), side_by_side(places)).amax(dim=1)
    return assignment.only((share <= IGNORE_OVERLAP) | ~assignment.is_negative)


def _refuse_assigner_of_sets(place: Place) -> None:
    if place.traits.name == "set":
        raise EvidenceError(
            f"{place}: a set-prediction head has no non-maximum suppression after it, so each object must stay with "
            "the one query that its matching gives it; choose a recipe without an assigner of its own"
        )


def _refuse_replaced(place: Place, slot: Slot, parts: tuple[str, ...]) -> None:
    for name in parts:
        if (part := getattr(slot, name)) is not None:
            raise EvidenceError(
                f"{place}: {part if isinstance(part, float) else type(part).__name__} would replace the {name} that "
                f"{place.traits.detector} computes itself; choose a recipe that weighs it"
            )
