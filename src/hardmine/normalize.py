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
import torch.distributed as dist
from torch import Tensor, nn

from hardmine.errors import ConfigError
from hardmine.samples import Assignment

__all__ = ["Normalizer", "PerPositive", "PerSampled", "PerValid", "PerWeight"]

Over = Literal["image", "batch", "ranks"]


class Normalizer(nn.Module, ABC):
    """Gives Z for the weights of a slot, as (1, 1) or (B, 1), never below one sample.

    Raises: ConfigError: ``over`` is none of "image", "batch", "ranks".
    """

    def __init__(self, over: Over = "ranks"):
        super().__init__()
        if over not in get_args(Over):
            raise ConfigError(f"a normaliser counts over one of {get_args(Over)}, got {over!r}")
        self.over = over

    @abstractmethod
    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        """How much each sample adds to Z, (B, N); weights are (B, N)."""

    @torch.no_grad()
    def forward(self, assignment: Assignment, weights: Tensor) -> Tensor:
        if weights.ndim == 3:
            weights = weights.mean(dim=-1)
        per_image = self.count(assignment, weights).to(weights.dtype).sum(dim=-1, keepdim=True)  # (B, 1)
        if self.over == "image":
            return per_image.clamp_min(1) * len(per_image)
        total = per_image.sum(dim=0, keepdim=True)
        return mean_over_ranks(total) if self.over == "ranks" else total.clamp_min(1)


class PerPositive(Normalizer):
    """Divides by the number of positives that count (focal loss, SSD, FCOS)."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return assignment.is_positive & (weights > 0)


class PerSampled(Normalizer):
    """Divides by the number of samples that count (R-CNN heads, OHEM)."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return weights > 0


class PerValid(Normalizer):
    """Divides by the number of samples that are not ignored, whether they count or not."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return assignment.is_valid


class PerWeight(Normalizer):
    """Divides by the sum of the weights."""

    def count(self, assignment: Assignment, weights: Tensor) -> Tensor:
        return weights


def mean_over_ranks(total: Tensor) -> Tensor:
    """max(1, sum over all ranks) / world size; without torch.distributed, max(1, total)."""
    if not (dist.is_available() and dist.is_initialized()):
        return total.clamp_min(1)
    total = total.clone()
    dist.all_reduce(total)
    return total.clamp_min(1) / dist.get_world_size()
