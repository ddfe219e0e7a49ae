"""Samplings that change with training time: one that gives way to another, and one that begins with what is easy."""

import torch
from torch import Tensor

from hardmine.core.rank_in_groups import rank_in_groups
from hardmine.core.samples import BACKGROUND, IGNORE, Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import All, Sampling

__all__ = ["Scheduled", "SelfPaced", "check_times", "ramp"]


class Scheduled(Sampling):
    """Goes from one sampling to another while training goes on.

        w = (1 - s) w_first + s w_then,    s = (progress - start) / (end - start), in [0, 1]

    With ``start == end`` the second takes over at once, as in mining after a warm-up: `Scheduled(All(), OHEM(64), .1)`;
    from `All()` over the whole training, hardness comes in by and by.

    Convention: progress in [0, 1] is the share of the training's steps that are done. Both are worked out in every
    step, whatever s is.
    Gradient: as of the two.   State: that of the two.
    Args: first: None for what the head itself has, in whose slot it stands; outside of one, all samples.
        start, end: shares of the training; end: None for the start.
    Raises: ConfigError: not 0 <= start <= end <= 1, or samplings for different kinds of scores.
    """

    def __init__(self, first: Sampling | None, then: Sampling, start: float = 0.0, end: float | None = None):
        super().__init__()
        self.is_open = first is None
        self.first, self.then = All() if first is None else first, then
        self.start, self.end = start, start if end is None else end
        check_times("Scheduled", self.start, self.end)
        self.declare(self.first, then)
        clock: frozenset[Evidence] = frozenset({"progress"})
        self.needs = self.needs | clock
        budgets = self.first.budget, then.budget
        self.budget = None if None in budgets or self.start < self.end else max(budgets)  # pyright: ignore

    def beginning_with(self, default: Sampling | None) -> "Scheduled":
        """The same, with what the head has as the first, where that was left open."""
        return Scheduled(default, self.then, self.start, self.end) if self.is_open else self

    def weigh(self, samples: Samples) -> Tensor:
        first, then = self.first(samples), self.then(samples)
        share = ramp(samples["progress"], self.start, self.end).to(first.dtype)
        if max(first.ndim, then.ndim) > 2:
            first, then, share = (of if of.ndim > 2 else of.unsqueeze(-1) for of in (first, then, share))
        return torch.lerp(first, then, share) if first.shape == then.shape else first + share * (then - first)


class SelfPaced(Sampling):
    """Begins with the easy samples, and takes in harder ones until all are there.

        w = 1 for the share λ of the positives, and of the negatives, of an image with the smallest loss, else 0
        λ = first_share + (1 - first_share) · progress / full_at, at most 1

    Kumar, Packer, Koller, Self-Paced Learning for Latent Variable Models, NIPS 2010. The contrary of mining.

    Convention: positives and negatives are apart, or else no positive would be early; at least one of each is kept.
    Differs from the paper: λ is a share of the samples, not a threshold of the loss, so that it need not know its size.
    Args: first_share: of the samples at the start, in (0, 1].  full_at: progress from which all count, in (0, 1].
    Raises: ConfigError: an argument out of range.
    """

    needs: frozenset[Evidence] = frozenset({"classification_loss", "progress"})

    def __init__(self, first_share: float = 0.5, full_at: float = 0.5):
        super().__init__()
        if not 0 < first_share <= 1 or not 0 < full_at <= 1:
            raise ConfigError(f"SelfPaced needs first_share and full_at in (0, 1], got {first_share}, {full_at}")
        self.first_share, self.full_at = first_share, full_at

    def weigh(self, samples: Samples) -> Tensor:
        loss, group = samples["classification_loss"], samples.assignment.matched_gt.clamp(IGNORE, 0)
        size = sum((group == kind) * (group == kind).sum(1, keepdim=True) for kind in (BACKGROUND, 0))
        grown = ramp(samples["progress"], 0.0, self.full_at)
        share = self.first_share + (1 - self.first_share) * grown
        return (rank_in_groups(-loss, group) < (share * size).clamp_min(1)).to(loss.dtype)


def ramp(progress: Tensor, start: float, end: float) -> Tensor:
    """0 before the start, 1 from the end on, linear between; a step where both are the same."""
    progress = progress.float().nan_to_num()  # of ignored samples nothing is known
    if start == end:
        return (progress >= end).float()
    return ((progress - start) / (end - start)).clamp(0, 1)


def check_times(name: str, start: float, end: float) -> None:
    """Raises: ConfigError: not 0 <= start <= end <= 1."""
    if not 0 <= start <= end <= 1:
        raise ConfigError(f"{name} needs 0 <= start <= end <= 1, as shares of the training, got {start}, {end}")
