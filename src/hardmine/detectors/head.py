"""One head of a detector: the equation, with its three slots filled.

    L_classify = (1/Z) · Σ w_i ℓ_cls(z_i, t_i)            w = w_select · w_classify
    L_regress  = (1/Z) · Σ w_i ℓ_box(z_i, t_i), positives  w = w_select · w_regress

A detector's adapter turns its framework's tensors into a `HeadOutput`; all that follows is the same for all of them.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from hardmine.boxes import BoxCoder
from hardmine.errors import ConfigError, EvidenceError
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.normalize import Normalizer
from hardmine.recipes.recipe import SLOTS, HeadTraits, Recipe, Slot, Slots
from hardmine.samples import Assignment, Evidence, GroundTruth, Samples
from hardmine.sampling import All, Sampling

Loss = TypeVar("Loss", ClassificationLoss, RegressionLoss)

BEFORE_HEAD: frozenset[Evidence] = frozenset({"boxes", "labels", "noise"})  # known before the head has run

__all__ = ["BEFORE_HEAD", "Head", "HeadOutput", "UnreducedLosses"]


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
        lift = torch.promote_types(self.logits.dtype, torch.float32)
        return HeadOutput(self.logits.to(lift), self.codes.to(lift), self.anchors.to(lift))


@dataclass(frozen=True, slots=True)
class UnreducedLosses:
    """classification: (B, N) or (B, N, C).  regression: (B, N), 0 where not positive."""

    classification: Tensor
    regression: Tensor


class LossSlot(nn.Module, Generic[Loss]):
    """One weighted sum: which samples count, how wrong each is, and over what the sum is averaged."""

    def __init__(self, sampling: Sampling, loss: Loss, normalize: Normalizer):
        super().__init__()
        self.sampling, self.loss, self.normalize = sampling, loss, normalize

    def weighted_sum(self, loss: Tensor, kept: Samples, selected: Tensor) -> Tensor:
        """(1/Z) · Σ w ℓ, a scalar, of losses (B, N) or (B, N, C) over what the select slot kept with weight (B, N)."""
        own = self.sampling(kept)
        weights = own * (selected if own.ndim == selected.ndim else selected.unsqueeze(-1))
        z = self.normalize(kept.assignment, weights)  # (B, 1) or (1, 1)
        weights = weights / (z if weights.ndim == 2 else z.unsqueeze(-1))
        if weights.ndim < loss.ndim:
            weights = weights.unsqueeze(-1)
        return torch.where(weights > 0, loss, 0).mul(weights).sum()


class Head(nn.Module):
    """The losses of one head under a recipe.

    Raises: ConfigError: the recipe fills an unknown slot, or one with a part of the wrong kind.
        EvidenceError: a sampling needs evidence that the head does not have.
    """

    def __init__(self, traits: HeadTraits, defaults: Slots, coder: BoxCoder, recipe: Recipe):
        super().__init__()
        self.traits, self.coder = traits, coder
        chosen = recipe.slots(traits)
        if unknown := sorted(set(chosen) - set(SLOTS)):
            raise ConfigError(f"recipe {recipe.name!r} fills {', '.join(unknown)}; a head has {', '.join(SLOTS)}")
        place = {name: _Place(recipe.name, traits, name) for name in SLOTS}
        slots = {name: chosen.get(name, Slot()).over(defaults[name]) for name in SLOTS}
        self.select: Sampling = place["select"].sampling(slots["select"])
        self.classify: LossSlot[ClassificationLoss] = place["classify"].filled(slots["classify"], ClassificationLoss)
        self.regress: LossSlot[RegressionLoss] = place["regress"].filled(slots["regress"], RegressionLoss)
        if self.classify.loss.activation != traits.activation:
            raise ConfigError(
                f"{place['classify']}: got a {self.classify.loss.activation} loss, expected one for scores that are "
                f"{traits.activation}"
            )

    @property
    def needs(self) -> frozenset[Evidence]:
        """Evidence that any of the head's samplings reads."""
        return self.select.needs | self.classify.sampling.needs | self.regress.sampling.needs

    def unreduced(self, output: HeadOutput, ground_truth: GroundTruth, assignment: Assignment) -> UnreducedLosses:
        """Loss of every sample, before any weight."""
        classification = self.classify.loss(output.logits, ground_truth.labels_of(assignment))
        return UnreducedLosses(classification, self._box_loss(output, ground_truth, assignment))

    def _box_loss(self, output: HeadOutput, ground_truth: GroundTruth, assignment: Assignment) -> Tensor:
        """(B, N); all but positives are computed on a unit box, so that no padding can turn into NaN."""
        positive = assignment.is_positive.unsqueeze(-1)
        unit = output.anchors.new_tensor([0, 0, 1, 1])
        anchors = torch.where(positive, output.anchors, unit)
        target = torch.where(positive, ground_truth.boxes_of(assignment).to(anchors.dtype), unit)
        codes = torch.where(positive, output.codes, 0)
        if self.regress.loss.space == "code":
            loss = self.regress.loss(codes, self.coder.encode(target, anchors))
        else:
            loss = self.regress.loss(self.coder.decode(codes, anchors), target)
        return torch.where(positive.squeeze(-1), loss, 0)

    def evidence(
        self,
        assignment: Assignment,
        ground_truth: GroundTruth,
        *,
        boxes: Tensor,
        output: HeadOutput | None = None,
        losses: UnreducedLosses | None = None,
    ) -> Samples:
        """All that the head's samplings may see, without gradient; losses are absent before the head has run."""
        noise = torch.rand(boxes.shape[:2], device=boxes.device) if "noise" in self.needs else None
        has_boxes = "boxes" in self.traits.evidence
        samples = Samples(
            assignment,
            labels=ground_truth.labels_of(assignment),
            boxes=boxes.detach() if has_boxes else None,
            noise=noise,
        )
        if output is None or losses is None or self.needs <= BEFORE_HEAD:
            return samples  # nobody asks for the rest, and a sum over all classes of all anchors is not free
        classification = losses.classification.detach()
        return replace(
            samples,
            logits=output.logits.detach(),
            classification_loss=classification if classification.ndim == 2 else classification.sum(-1),
            regression_loss=losses.regression.detach(),
        )

    def reduce(self, losses: UnreducedLosses, samples: Samples, selected: Tensor) -> dict[str, Tensor]:
        """The two sums, given the weights (B, N) of the select slot: {"classify": scalar, "regress": scalar}."""
        kept = samples.keep(selected > 0)
        return {
            "classify": self.classify.weighted_sum(losses.classification, kept, selected),
            "regress": self.regress.weighted_sum(losses.regression, kept, selected),
        }


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a recipe's choice goes, for checks and their messages."""

    recipe: str
    traits: HeadTraits
    slot: str

    def __str__(self) -> str:
        return f"recipe {self.recipe!r} in slot {self.slot!r} of {self.traits.detector}'s {self.traits.name} head"

    def sampling(self, slot: Slot) -> Sampling:
        sampling = slot.sampling or All()
        missing = sorted(sampling.needs - self.traits.evidence)
        if missing:
            raise EvidenceError(
                f"{self}: {type(sampling).__name__} needs {', '.join(missing)}, which this head does not have (it has "
                f"{', '.join(sorted(self.traits.evidence))}); choose a recipe, or an option of it, that does without"
            )
        return sampling

    def filled(self, slot: Slot, kind: type[Loss]) -> LossSlot[Loss]:
        if not isinstance(slot.loss, kind) or slot.normalize is None:
            raise ConfigError(
                f"{self}: got {slot.loss} and {slot.normalize}, expected a {kind.__name__} and a Normalizer"
            )
        return LossSlot(self.sampling(slot), slot.loss, slot.normalize)
