"""Who dominates the gradient of a head's scores, summed up batch by batch.

g_i = Σ_c |∂L/∂z_ic| is how hard sample i pulls on its scores, its weight in it. Shares are of Σ_i g_i over all batches;
of the samples themselves nothing is kept.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hardmine.core.samples import Activation
from hardmine.training.evidence import Step, foreground_scores

__all__ = ["EASY", "HARD", "HARDEST", "GradientShares", "SamplesOfObjects", "look_at_steps", "share"]

EASY, HARD = 0.1, 0.5
"""A negative is easy with a score below the first, and hard with one above the second."""
HARDEST = 0.01
"""The share of a batch's negatives that are its hardest: those with the highest scores, and at least one."""


@dataclass(frozen=True, slots=True)
class GradientShares:
    """Where the classification gradient comes from, as shares of the whole of it in [0, 1]; 0 where there is none.

    num_images, num_samples: that were looked at, of samples those that take part in the losses.
    positives, negatives: add up to 1.
    easy_negatives, hard_negatives: of negatives by their highest score, below `EASY` and above `HARD`.
    hardest_negatives: of the `HARDEST` share of the negatives of each batch.
    effective_samples: (Σ g)² / Σ g² as a share of the samples: 1 where all pull alike, 1 / N where one does alone.
    """

    num_images: int
    num_samples: int
    positives: float
    negatives: float
    easy_negatives: float
    hard_negatives: float
    hardest_negatives: float
    effective_samples: float


@dataclass(frozen=True, slots=True)
class SamplesOfObjects:
    """How the positives that take part in the losses are dealt out to the objects.

    num_objects: that were looked at, crowds and objects of weight 0 left out.
    mean: positives an object.
    without: share of the objects that have none.
    of_richest_quarter: share of the positives that belong to the quarter of the objects that have most; .25 where all
    have as many, 0 where there is none.
    """

    num_objects: int
    mean: float
    without: float
    of_richest_quarter: float


def look_at_steps(steps: Iterable[Step], activation: Activation) -> tuple[GradientShares, SamplesOfObjects]:
    """What the batches of a run say of both; activation: of the head that the samples are of."""
    totals = _Totals()
    for step in steps:
        totals.add(step, activation)
    return totals.gradient_shares(), totals.samples_of_objects()


@dataclass(slots=True)
class _Totals:
    """Sums over all batches so far; per_object: how many positives each object has."""

    num_images: int = 0
    num_samples: int = 0
    pulls: dict[str, float] = field(default_factory=dict)
    squares: float = 0.0
    per_object: list[int] = field(default_factory=list)

    def add(self, step: Step, activation: Activation) -> None:
        assignment = step.samples.assignment
        is_valid = assignment.is_valid
        size = step.slopes.abs().sum(-1)[is_valid].double()
        score = foreground_scores(step.samples["logits"], activation)[is_valid]
        self.num_images += len(step.targets)
        self.num_samples += len(size)
        self.squares += float(size.square().sum())
        for name, total in _pulls_of_kinds(size, score, assignment.is_positive[is_valid]).items():
            self.pulls[name] = self.pulls.get(name, 0.0) + total
        for target, matched in zip(step.targets, assignment.matched_gt, strict=True):
            self.per_object += _positives_of_objects(target, matched).tolist()

    def gradient_shares(self) -> GradientShares:
        kinds = ("positives", "negatives", "easy_negatives", "hard_negatives", "hardest_negatives")
        total = self.pulls.get("all", 0.0)
        shares = {kind: share(self.pulls.get(kind, 0.0), total) for kind in kinds}
        effective = share(total**2, self.squares * self.num_samples)
        return GradientShares(self.num_images, self.num_samples, **shares, effective_samples=effective)

    def samples_of_objects(self) -> SamplesOfObjects:
        counts, num = sorted(self.per_object, reverse=True), len(self.per_object)
        richest = sum(counts[: math.ceil(num / 4)])
        return SamplesOfObjects(num, share(sum(counts), num), share(counts.count(0), num), share(richest, sum(counts)))


def share(part: float, whole: float) -> float:
    """part / whole; 0 of nothing."""
    return part / whole if whole else 0.0


def _pulls_of_kinds(size: Tensor, score: Tensor, is_positive: Tensor) -> dict[str, float]:
    """Σ g of all, and of each kind, of samples (N,)."""
    of_negatives, score = size[~is_positive], score[~is_positive]
    kinds = {
        "all": size,
        "positives": size[is_positive],
        "negatives": of_negatives,
        "easy_negatives": of_negatives[score < EASY],
        "hard_negatives": of_negatives[score > HARD],
        "hardest_negatives": of_negatives[score.topk(math.ceil(HARDEST * len(score))).indices],
    }
    return {name: float(of_kind.sum()) for name, of_kind in kinds.items()}


def _positives_of_objects(target: Mapping[str, Tensor], matched: Tensor) -> Tensor:
    """How many samples (N,) are matched to each object of an image, crowds and objects of weight 0 left out."""
    is_object = ~target["iscrowd"]
    counts = torch.bincount(matched[matched >= 0], minlength=int(is_object.sum()))
    return counts if "weights" not in target else counts[target["weights"][is_object] > 0]
