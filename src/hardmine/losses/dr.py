"""DR loss: the distribution of an image's positive scores should lie above that of its negative ones."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import IGNORE
from hardmine.core.scores import is_label
from hardmine.errors import ConfigError
from hardmine.losses.classification import ClassificationLoss

__all__ = ["DRLoss"]


class DRLoss(ClassificationLoss):
    """Ranks the mean of the worst positive scores of an image above that of its worst negative scores, by a margin.

        L = (τ/L) log(1 + exp(L (P⁻ - P⁺ + m))),   P = Σ q p,   q⁻ ∝ exp(p⁻/λ⁻),   q⁺ ∝ exp(-p⁺/λ⁺)

    Qian, Chen, Li, Jin, DR Loss: Improving Object Detection by Distributional Ranking, CVPR 2020, arXiv:1907.10156.

    Convention: for sigmoid heads. A positive is the score of a sample's own class, a negative any other; those of all
    classes and levels of an image are pooled. P⁺ = 1 without positives, P⁻ = 0 without negatives; the loss is the mean
    over the images that have either.
    Gradient: also through q, as in the paper.

    Args: margin: m.  L: smoothness, large is a hinge.  tau: factor.  positive_lambda, negative_lambda: temperatures of
        q; towards 0 only the worst score counts, a large one gives the mean.
    Raises: ConfigError: an argument out of range.
    """

    listwise = True

    def __init__(
        self,
        margin: float = 0.5,
        L: float = 6.0,
        tau: float = 4.0,
        positive_lambda: float = 1.0,
        negative_lambda: float = 0.1 / math.log(3.5),
    ):
        super().__init__("sigmoid")
        if not all(value > 0 for value in (L, tau, positive_lambda, negative_lambda)) or not math.isfinite(margin):
            raise ConfigError(
                f"DRLoss needs L, tau, positive_lambda, negative_lambda > 0 and a finite margin, "
                f"got {L}, {tau}, {positive_lambda}, {negative_lambda}, {margin}"
            )
        self.margin, self.L, self.tau = margin, L, tau
        self.positive_lambda, self.negative_lambda = positive_lambda, negative_lambda

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        valid = (labels != IGNORE).unsqueeze(-1).expand_as(logits)
        scores = torch.where(valid, at_least_float32(logits), 0).sigmoid().flatten(1)  # (B, N · C)
        is_own = is_label(labels, logits.shape[-1])
        is_positive, is_negative = is_own.flatten(1), (valid & ~is_own).flatten(1)
        positive = _mean_of_worst(scores, is_positive, -self.positive_lambda)
        positive = torch.where(is_positive.any(dim=1), positive, 1)
        gap = _mean_of_worst(scores, is_negative, self.negative_lambda) - positive + self.margin
        loss = self.tau / self.L * F.softplus(self.L * gap)  # (B,)
        counted = (is_positive | is_negative).any(dim=1)
        return (torch.where(counted, loss, 0).sum() / counted.sum().clamp_min(1)).to(logits.dtype)


def _mean_of_worst(scores: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Σ q p with q ∝ exp(p / temperature) over the mask of each row, 0 where it is empty: (B, M), (B, M) -> (B,)."""
    q = torch.where(mask, scores / temperature, torch.finfo(scores.dtype).min).softmax(dim=1)
    return torch.where(mask, q * scores, 0).sum(dim=1)
