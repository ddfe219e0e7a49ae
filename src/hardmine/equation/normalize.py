"""Normalisers: over what do we average?

Every loss is ``Σ w_i ℓ_i / Z``. Z counts over one image, over this process's batch, or over the batch of all ranks:

image   each image has its own Z and images count alike: Z_b = B · max(1, n_b)
batch   one Z = max(1, n)
ranks   one Z = max(1, n over all ranks) / world size. Data-parallel training averages gradients over ranks, so dividing
        by the mean count gives what one process would get on the whole batch. The count is reduced exactly once.
"""

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hardmine.core.ranks import mean_over_ranks
from hardmine.core.samples import Assignment, Evidence
from hardmine.errors import ConfigError, EvidenceError

__all__ = ["Normalizer", "PerPositive", "PerQuality", "PerSampled", "PerValid", "PerWeight"]

Over = Literal["image", "batch", "ranks"]


class Normalizer(nn.Module, ABC):
    """Gives Z for the weights of a slot, as (1, 1) or (B, 1), never below one sample.

    Raises: ConfigError: ``over`` is none of "image", "batch", "ranks".
    """

    needs: frozenset[Evidence] = frozenset()
    """What the assignment must say beside who belongs to whom."""

    def __init__(self, over: Over = "ranks"):
        super().__init__()
        if over not in get_args(Over):
            raise ConfigError(f"a normaliser counts over one of {get_args(Over)}, got {over!r}")
        self.over = over

    @abstractmethod
    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        """How much each sample adds to Z, (B, N), given weights (B, N) or (B, N, C)."""

    @torch.no_grad()
    def forward(self, assignment: Assignment, weights: Tensor) -> Tensor:
        per_image = self.count(assignment, weights).to(weights.dtype).sum(dim=-1, keepdim=True)  # (B, 1)
        if self.over == "image":
            return per_image.clamp_min(1) * len(per_image)
        total = per_image.sum(dim=0, keepdim=True)
        return mean_over_ranks(total) if self.over == "ranks" else total.clamp_min(1)


class PerPositive(Normalizer):
    """Divides by the number of positives that count (focal loss, SSD, FCOS)."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return assignment.is_positive & (_mean_of_classes(weights) > 0)


class PerSampled(Normalizer):
    """Divides by the number of samples that count (R-CNN heads, OHEM)."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return _mean_of_classes(weights) > 0


class PerValid(Normalizer):
    """Divides by the number of weights that are not a sample's that is ignored, whether they are 0 or not.

    That is one weight a sample, or as many as there are classes where each class has its own (GHM-C).
    """

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return assignment.is_valid * (1 if weights.ndim == 2 else weights.shape[-1])


class PerWeight(Normalizer):
    """Divides by the sum of the weights, of their mean over the classes where each class has its own."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return _mean_of_classes(weights)


class PerQuality(Normalizer):
    """Divides by the sum of the qualities of the positives that count (TOOD, VarifocalNet).

    Raises: EvidenceError: the assignment says nothing of quality.
    """

    needs: frozenset[Evidence] = frozenset({"quality"})

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        if assignment.quality is None:
            raise EvidenceError("PerQuality needs quality, but the assignment has none")
        return torch.where(assignment.is_positive & (_mean_of_classes(weights) > 0), assignment.quality, 0)


def _mean_of_classes(weights: Tensor) -> Tensor:
    return weights if weights.ndim == 2 else weights.mean(dim=-1)
