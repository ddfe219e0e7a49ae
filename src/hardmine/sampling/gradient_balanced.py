"""What samplings that balance the gradients of each class have in common: the sums of those they have seen."""

from abc import abstractmethod
from functools import partial

import torch
from torch import Tensor

from hardmine.core.blocks import by_blocks
from hardmine.core.boxes import at_least_float32
from hardmine.core.ranks import sum_over_ranks
from hardmine.core.samples import Evidence, Samples
from hardmine.core.scores import is_label
from hardmine.core.slopes import Sloped
from hardmine.core.state import snapshot
from hardmine.errors import ConfigError, ShapeError
from hardmine.sampling.base import Sampling

__all__ = ["GradientBalanced"]

UNSEEN = 100.0  # ratio of a class of which no gradient was seen yet: as if it had far more positives than it needs
EPS = 1e-10


class GradientBalanced(Sampling):
    """Weighs each class by the ratio of the gradients that its positives and its negatives have sent so far.

        r_c = Σ |∂ℓ/∂z_c| over positives / (Σ |∂ℓ/∂z_c| over negatives + 1e-10),   100 before the first gradient

    A call uses the ratio that earlier calls left, and then adds its own gradients to the sums.

    State: ``positive`` and ``negative``, the sums of each class over all calls in training and over all ranks.
    Raises: ConfigError: num_classes below 1.  ShapeError (in a call): logits of another number of classes.
    """

    needs: frozenset[Evidence] = frozenset({"logits", "labels"})
    activation = "sigmoid"
    positive: Tensor
    negative: Tensor

    def __init__(self, num_classes: int):
        super().__init__()
        if num_classes < 1:
            raise ConfigError(f"{type(self).__name__} needs num_classes >= 1, got {num_classes}")
        self.register_buffer("positive", torch.zeros(num_classes))
        self.register_buffer("negative", torch.zeros(num_classes))

    @property
    @abstractmethod
    def of_class(self) -> Tensor:
        """What the weights of each class are made of, given its `ratio` as it is, (C,)."""

    @abstractmethod
    def balance(self, of_class: Tensor, logits: Tensor, labels: Tensor) -> Sloped:
        """Weights of each class, (C,), (B, N, C), (B, N) -> (B, N, C)."""

    @abstractmethod
    def pull(self, of_class: Tensor, logits: Tensor, labels: Tensor) -> Sloped:
        """Size of the gradient of weight times cross entropy, over the weight, held fixed; arguments of `balance`."""

    @property
    def ratio(self) -> Tensor:
        """Positive over negative gradient of each class, (C,)."""
        positive, negative = snapshot(self.positive), snapshot(self.negative)
        return (positive / (negative + EPS)).masked_fill(positive + negative <= 0, UNSEEN)

    def weigh(self, samples: Samples) -> Tensor:
        logits, labels = samples["logits"], samples["labels"]
        if logits.shape[-1] != len(self.positive):
            raise ShapeError(
                f"{type(self).__name__} was made for {len(self.positive)} classes, got logits {tuple(logits.shape)}"
            )
        raised = at_least_float32(logits)
        of_class = self.of_class.to(raised.dtype)
        weights = by_blocks(partial(self.balance, of_class), raised, labels)
        if self.training:
            self._collect(weights.detach(), of_class, raised.detach(), labels)
        return weights.to(logits.dtype)

    @torch.no_grad()
    def _collect(self, weights: Tensor, of_class: Tensor, logits: Tensor, labels: Tensor) -> None:
        pull = weights * by_blocks(partial(self.pull, of_class), logits, labels)
        # a diverged score, as mixed precision has them now and then, must not spoil the sums for good
        pull = pull.nan_to_num_(0, 0, 0)
        of_own = pull * is_label(labels, logits.shape[-1])
        sums = sum_over_ranks(torch.stack([of_own.sum(dim=(0, 1)), pull.sub_(of_own).sum(dim=(0, 1))]))
        self.positive += sums[0]
        self.negative += sums[1]
