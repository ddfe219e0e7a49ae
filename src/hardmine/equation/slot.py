"""One slot of a head: a weighted sum of its losses.

(1/Z) · Σ w_i ℓ_i
"""

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hardmine.core.samples import Evidence, Samples
from hardmine.equation.normalize import Normalizer
from hardmine.equation.recipe import Slot
from hardmine.errors import ShapeError
from hardmine.losses import ClassificationLoss, RegressionLoss, TaskBalance
from hardmine.sampling import Sampling

__all__ = ["Loss", "LossSlot", "call", "evaluate", "one_weight_each", "per_sample", "weighted_sum"]

Loss = TypeVar("Loss", ClassificationLoss, RegressionLoss)


class LossSlot(nn.Module, Generic[Loss]):
    """One weighted sum: which samples count, how wrong each is, over what it is averaged, and times what."""

    def __init__(self, sampling: Sampling, loss: Loss, normalize: Normalizer, slot: Slot):
        super().__init__()
        self.sampling, self.loss, self.normalize = sampling, loss, normalize
        self.scale, self.also = 1.0 if slot.scale is None else slot.scale, slot.also

    @property
    def needs(self) -> frozenset[Evidence]:
        parts = (self.sampling, self.loss, self.normalize, self.also)
        return frozenset().union(*(getattr(part, "needs", ()) for part in parts))

    def sum(self, loss: Tensor, kept: Samples, selected: Tensor) -> Tensor:
        """The sum before scaling, over what the select slot kept with weight (B, N).

        Raises: ShapeError: the sampling gives weights to numbers that the loss does not have.
        """
        own = call(self.sampling, kept)
        if own.ndim > 2 and own.shape != loss.shape:
            raise ShapeError(
                f"{type(self.sampling).__name__} gives weights {tuple(own.shape)}, but {type(self.loss).__name__} "
                f"gives losses {tuple(loss.shape)}; expected the same shape, or one weight a sample"
            )
        weights = own * (selected if own.ndim == selected.ndim else selected.unsqueeze(-1))
        return weighted_sum(loss, weights, self.normalize(kept.assignment, weights))

    def factor(self, classification: Tensor, regression: Tensor) -> Tensor | float:
        """What the sum is multiplied by, given both sums of the head."""
        scale = self.scale
        return scale(classification.detach(), regression.detach()) if isinstance(scale, TaskBalance) else scale


def one_weight_each(select: Sampling, samples: Samples, what: str, slots: str) -> Tensor:
    """The weights of a select slot, (B, N).

    Args: what, slots: what there is one weight for, and where a sampling of more belongs, for the message.
    Raises: ShapeError: the sampling has weights of its own for each class.
    """
    weights = call(select, samples)
    if weights.ndim > 2:
        raise ShapeError(
            f"{type(select).__name__} gives weights {tuple(weights.shape)}, but the slot 'select' needs one a {what}, "
            f"{tuple(weights.shape[:2])}; put it into {slots}"
        )
    return weights


def weighted_sum(loss: Tensor, weights: Tensor, z: Tensor) -> Tensor:
    """(1/Z) · Σ w ℓ, a scalar, of losses and weights (B, N) or (B, N, K) and Z (B, 1) or (1, 1)."""
    if weights.ndim < loss.ndim:  # one pass over all numbers, and the rest on their sums
        loss = loss.sum(dim=-1)
    weights = weights / (z if weights.ndim == 2 else z.unsqueeze(-1))
    of_rows = torch.where(weights > 0, loss, 0).mul(weights).sum(dim=-1)
    return of_rows.sum()  # in two steps: what a compiler makes of one loses digits over millions of numbers


def per_sample(loss: Tensor) -> Tensor:
    """One loss a sample (B, N), without gradient, of (B, N) or (B, N, K)."""
    return (loss if loss.ndim == 2 else loss.sum(-1)).detach()


def evaluate(loss: ClassificationLoss, samples: Samples) -> Tensor:
    return call(loss, samples["logits"], samples["labels"], **{name: samples[name] for name in loss.needs})


def call(part: Sampling | ClassificationLoss, *args: Any, **evidence: Any) -> Tensor:
    """What waits for the device stays out of a compiled graph: there it would do for all samples what is for a few."""
    if part.on_device:
        return part(*args, **evidence)
    return _call_uncompiled(part, *args, **evidence)  # pyright: ignore (the decorator hides the type)


@torch.compiler.disable
def _call_uncompiled(part: nn.Module, *args: Any, **evidence: Any) -> Tensor:
    return part(*args, **evidence)
