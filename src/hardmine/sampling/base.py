"""What every sampling is, and the two that need no idea of their own."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hardmine.core.samples import IGNORE, Activation, Evidence, Samples
from hardmine.errors import ConfigError, EvidenceError

__all__ = ["All", "Chain", "QuotaSampling", "Sampling", "times"]


class Sampling(nn.Module, ABC):
    """Answers, for every sample: how much does it count? Zero or one (hard), or any weight from zero up (soft).

    A method implements `weigh` and declares the evidence it needs. It is shown nothing else, and whatever it returns,
    ignored and padded samples weigh exactly 0.
    """

    needs: frozenset[Evidence] = frozenset()
    """Names of the fields of `Samples` that the method reads, beside the assignment."""
    through_grad: bool = False
    """Whether gradient flows through the weights."""
    pools_batch: bool = False
    """Whether the weights of one image depend on the other images of the batch."""
    budget: int | None = None
    """The most samples of one image that can weigh more than 0, where there is such a bound."""
    on_device: bool = True
    """False where a call waits for the device, because what it does next depends on values."""
    activation: Activation | None = None
    """What turns the logits that the method reads into probabilities; None where it makes no difference to it."""

    def declare(self, *parts: "Sampling") -> None:
        """Declares of this sampling what its parts declare, taken together; a budget is its own to set.

        Raises: ConfigError: the parts read the same logits in different ways.
        """
        activations: set[Activation] = {part.activation for part in parts if part.activation is not None}
        if len(activations) > 1:
            raise ConfigError(
                f"{type(self).__name__} got parts for sigmoid scores and parts for softmax scores; a head has one kind"
            )
        self.activation = next(iter(activations), None)
        self.needs = frozenset().union(*(part.needs for part in parts))
        self.pools_batch = any(part.pools_batch for part in parts)
        self.through_grad = any(part.through_grad for part in parts)
        self.on_device = all(part.on_device for part in parts)

    @abstractmethod
    def weigh(self, samples: Samples) -> Tensor:
        """Weights (B, N), or (B, N, K) where each class, or each of the four numbers of a box code, has its own."""

    def forward(self, samples: Samples) -> Tensor:
        """Weights (B, N) or (B, N, K) of the samples, 0 where they are ignored.

        Raises: EvidenceError: the samples lack what the method needs.
        """
        try:
            evidence = samples.only(self.needs)
        except EvidenceError as error:
            raise EvidenceError(f"{type(self).__name__} needs {', '.join(sorted(self.needs))}, but {error}") from None
        with torch.set_grad_enabled(self.through_grad and torch.is_grad_enabled()):
            weights = self.weigh(evidence)
        ignored = samples.assignment.matched_gt == IGNORE
        return weights.masked_fill(ignored if weights.ndim == ignored.ndim else ignored.unsqueeze(-1), 0)


class QuotaSampling(Sampling):
    """A sampling that fills so many places of an image: alone ``num``, from all samples; in `Combined` its share.

    Raises: ConfigError: num below 1.
    """

    def __init__(self, num: int = 512):
        super().__init__()
        if num < 1:
            raise ConfigError(f"{type(self).__name__} needs num >= 1, got {num}")
        self.num, self.budget = num, num

    @abstractmethod
    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        """Weights (B, N): as many above 0 in each image as ``quota`` (B, 1) says, and all of them candidates (B, N).

        most: no quota is above it.
        """

    def weigh(self, samples: Samples) -> Tensor:
        matched_gt = samples.assignment.matched_gt
        quota = matched_gt.new_full((len(matched_gt), 1), self.num)
        return self.choose(samples, samples.assignment.is_valid, quota, self.num)


class All(Sampling):
    """Counts every sample once: no sampling."""

    def weigh(self, samples: Samples) -> Tensor:
        return torch.ones_like(samples.assignment.iou)


class Chain(Sampling):
    """One sampling after another: each sees only what those before it kept, and the weights multiply."""

    def __init__(self, *samplings: Sampling):
        super().__init__()
        self.samplings = nn.ModuleList(samplings)
        self.declare(*samplings)
        self.budget = min((sampling.budget for sampling in samplings if sampling.budget is not None), default=None)

    def weigh(self, samples: Samples) -> Tensor:
        weights = torch.ones_like(samples.assignment.iou)
        for sampling in self.samplings:
            weights = times(weights, sampling(samples.keep(_per_sample(weights) > 0)))
        return weights


def _per_sample(weights: Tensor) -> Tensor:
    return weights if weights.ndim == 2 else weights.amax(dim=-1)


def times(first: Tensor, second: Tensor) -> Tensor:
    """The product of weights (B, N) or (B, N, K): one that has none for each class counts for all of them."""
    if first.ndim < second.ndim:
        first = first.unsqueeze(-1)
    return first * (second if second.ndim == first.ndim else second.unsqueeze(-1))
