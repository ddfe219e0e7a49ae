"""One head of a detector: the equation, with its three slots filled.

    L_classify = (1/Z) · Σ w_i ℓ_cls(z_i, t_i)            w = w_select · w_classify
    L_regress  = (1/Z) · Σ w_i ℓ_box(z_i, t_i), positives  w = w_select · w_regress

A detector's adapter turns its framework's tensors into a `HeadOutput`; all that follows is the same for all of them.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from hardmine.boxes import BoxCoder
from hardmine.errors import ConfigError, EvidenceError
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.recipes.recipe import SLOTS, HeadTraits, Recipe, Slots
from hardmine.samples import Assignment, GroundTruth, Samples
from hardmine.sampling import All, Sampling

Kind = TypeVar("Kind", ClassificationLoss, RegressionLoss)

__all__ = ["Head", "HeadOutput", "UnreducedLosses"]


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


class Head(nn.Module):
    """The losses of one head under a recipe.

    Raises: ConfigError: the recipe fills an unknown slot, or with a part of the wrong kind.
        EvidenceError: a sampling needs evidence that the head does not have.
    """

    def __init__(self, traits: HeadTraits, defaults: Slots, coder: BoxCoder, recipe: Recipe):
        super().__init__()
        self.traits, self.coder = traits, coder
        chosen = dict(recipe.slots(traits))
        if unknown := sorted(set(chosen) - set(SLOTS)):
            raise ConfigError(f"recipe {recipe.name!r} fills {', '.join(unknown)}; a head has {', '.join(SLOTS)}")
        slots = {name: chosen[name].over(defaults[name]) if name in chosen else defaults[name] for name in SLOTS}
        for name, slot in slots.items():
            _check_evidence(recipe, traits, name, slot.sampling or All())
        self.select: Sampling = slots["select"].sampling or All()
        self.samplings = nn.ModuleDict({name: slots[name].sampling or All() for name in ("classify", "regress")})
        self.normalizers = nn.ModuleDict({name: slots[name].normalize for name in ("classify", "regress")})
        self.classification = _of_kind(slots["classify"].loss, ClassificationLoss, recipe, traits, "classify")
        self.regression = _of_kind(slots["regress"].loss, RegressionLoss, recipe, traits, "regress")
        if self.classification.activation != traits.activation:
            raise ConfigError(
                f"recipe {recipe.name!r} puts a {self.classification.activation} loss into the classify slot of "
                f"{traits.detector}'s {traits.name} head, whose scores are {traits.activation}"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Evidence that any of the head's samplings reads."""
        return self.select.needs.union(*(sampling.needs for sampling in self.samplings.values()))

    def unreduced(self, output: HeadOutput, ground_truth: GroundTruth, assignment: Assignment) -> UnreducedLosses:
        """Loss of every sample, before any weight."""
        classification = self.classification(output.logits, ground_truth.labels_of(assignment))
        return UnreducedLosses(classification, self._box_loss(output, ground_truth, assignment))

    def _box_loss(self, output: HeadOutput, ground_truth: GroundTruth, assignment: Assignment) -> Tensor:
        """(B, N); all but positives are computed on a unit box, so that no padding can turn into NaN."""
        positive = assignment.is_positive.unsqueeze(-1)
        unit = output.anchors.new_tensor([0, 0, 1, 1])
        anchors = torch.where(positive, output.anchors, unit)
        target = torch.where(positive, ground_truth.boxes_of(assignment).to(anchors.dtype), unit)
        codes = torch.where(positive, output.codes, 0)
        if self.regression.space == "code":
            loss = self.regression(codes, self.coder.encode(target, anchors))
        else:
            loss = self.regression(self.coder.decode(codes, anchors), target)
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
        if output is None or losses is None:
            return samples
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
            "classify": self.weighted_sum("classify", losses.classification, kept, selected),
            "regress": self.weighted_sum("regress", losses.regression, kept, selected),
        }

    def weighted_sum(self, slot: str, loss: Tensor, kept: Samples, selected: Tensor) -> Tensor:
        """(1/Z) · Σ w ℓ over what the select slot kept, with the slot's own sampling and normaliser."""
        own = self.samplings[slot](kept)
        weights = own * (selected if own.ndim == selected.ndim else selected.unsqueeze(-1))
        z = self.normalizers[slot](kept.assignment, weights)  # (B, 1) or (1, 1)
        weights = weights / (z if weights.ndim == 2 else z.unsqueeze(-1))
        if weights.ndim < loss.ndim:
            weights = weights.unsqueeze(-1)
        return torch.where(weights > 0, loss, 0).mul(weights).sum()


def _check_evidence(recipe: Recipe, traits: HeadTraits, slot: str, sampling: Sampling) -> None:
    missing = sorted(sampling.needs - traits.evidence)
    if missing:
        raise EvidenceError(
            f"recipe {recipe.name!r} cannot be put on {traits.detector}: {type(sampling).__name__} in slot {slot!r} of "
            f"its {traits.name} head needs {', '.join(missing)}, and that head has only "
            f"{', '.join(sorted(traits.evidence))}; choose a recipe, or an option of it, that does without"
        )


def _of_kind(
    loss: ClassificationLoss | RegressionLoss | None, kind: type[Kind], recipe: Recipe, traits: HeadTraits, slot: str
) -> Kind:
    if not isinstance(loss, kind):
        raise ConfigError(
            f"recipe {recipe.name!r} puts {type(loss).__name__} into slot {slot!r} of {traits.detector}'s "
            f"{traits.name} head, which takes a {kind.__name__}"
        )
    return loss
