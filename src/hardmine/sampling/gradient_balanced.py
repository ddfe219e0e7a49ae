"""What samplings that balance the gradients of each class have in common: the sums of those they have seen."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from hardmine.blocks import by_blocks
from hardmine.boxes import at_least_float32
from hardmine.errors import ConfigError, ShapeError
from hardmine.ranks import sum_over_ranks
from hardmine.samples import Evidence, Samples
from hardmine.sampling.base import Sampling
from hardmine.scores import is_label
from hardmine.state import snapshot

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

    @abstractmethod
    def balance(self, wrong: Tensor, is_own: Tensor) -> Tensor:
        """Weights for `ratio` as it is, three times (B, N, C).

        wrong: the logit of being wrong: 1 - p_t = sigmoid(wrong).  is_own: whether the class is the sample's label.
        """

    def pull(self, wrong: Tensor, is_own: Tensor) -> Tensor:
        """Size of the gradient of weight times cross entropy, three times (B, N, C)."""
        return self.balance(wrong, is_own) * wrong.sigmoid()

    @property
    def ratio(self) -> Tensor:
        """Positive over negative gradient of each class, (C,)."""
        positive, negative = snapshot(self.positive), snapshot(self.negative)
        return torch.where(positive + negative > 0, positive / (negative + EPS), UNSEEN)

    def weigh(self, samples: Samples) -> Tensor:
        logits, labels = samples["logits"], samples["labels"]
        if logits.shape[-1] != len(self.positive):
            raise ShapeError(
                f"{type(self).__name__} was made for {len(self.positive)} classes, got logits {tuple(logits.shape)}"
            )
        raised = at_least_float32(logits)
        weights = by_blocks(partial(self._of_rows, self.balance), raised, labels)
        if self.training:
            self._collect(raised.detach(), labels)
        return weights.to(logits.dtype)

    def _of_rows(self, function: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        is_own = is_label(labels, logits.shape[-1])
        return function(torch.where(is_own, -logits, logits), is_own)

    @torch.no_grad()
    def _collect(self, logits: Tensor, labels: Tensor) -> None:
        gradient = by_blocks(partial(self._of_rows, self.pull), logits, labels)
        # a diverged score, as mixed precision has them now and then, must not spoil the sums for good
        gradient = torch.where(gradient.isfinite(), gradient, 0)
        is_own = is_label(labels, logits.shape[-1])
        of_each = [torch.where(side, gradient, 0).sum(dim=(0, 1)) for side in (is_own, ~is_own)]
        sums = sum_over_ranks(torch.stack(of_each))
        self.positive += sums[0]
        self.negative += sums[1]
