"""Correlation loss: the scores of positives should rise and fall with how well their boxes fit."""

from typing import Literal, get_args

import torch
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import Activation, Evidence
from hardmine.core.scores import log_probability_of_label
from hardmine.errors import ConfigError
from hardmine.losses.classification import ClassificationLoss

__all__ = ["Correlation"]

Kind = Literal["concordance", "pearson"]


class Correlation(ClassificationLoss):
    """One minus the correlation of the positives' scores with the IoUs of their predicted boxes.

        L = λ (1 - ρ),   ρ = cov(s, y) / (σ_s σ_y)                                    (Pearson's)
                   or    ρ = 2 cov(s, y) / (σ_s² + σ_y² + (mean s - mean y)²)         (concordance)

    Kahraman, Oksuz, Kalkan, Akbas, Correlation Loss: Enforcing Correlation between Classification and Localization,
    AAAI 2023, arXiv:2301.01019. It says nothing of negatives, and is meant beside another classification loss.

    Convention: s is the probability of a positive's own class; all positives of the batch are one list. The loss is 0
    with fewer than two positives, or where a coefficient is not defined because nothing varies.
    Gradient: through the scores, not through the IoUs.
    Differs from the authors' code: it also has Spearman's coefficient by a relaxed sorting of another library, a loop
    of data-dependent length. Spearman's own coefficient has no gradient, so it is not offered.

    Args: weight: λ, the paper's by default.
    Raises: ConfigError: an argument out of range.
    """

    listwise = True
    needs: frozenset[Evidence] = frozenset({"predicted_iou"})

    def __init__(self, kind: Kind = "concordance", weight: float = 0.2, activation: Activation = "sigmoid"):
        super().__init__(activation)
        if kind not in get_args(Kind) or not weight >= 0:
            raise ConfigError(f"Correlation needs kind in {get_args(Kind)} and weight >= 0, got {kind!r}, {weight}")
        self.kind: Kind = kind
        self.weight = weight

    def forward(self, logits: Tensor, labels: Tensor, predicted_iou: Tensor) -> Tensor:
        positive, lifted = labels >= 0, at_least_float32(logits)
        safe = torch.where(positive.unsqueeze(-1), lifted, 0)
        scores = log_probability_of_label(safe, labels, self.activation).exp()
        iou = torch.where(positive, predicted_iou.detach(), 0).to(lifted.dtype)
        return (self.weight * _one_minus_correlation(scores, iou, positive, self.kind)).to(logits.dtype)


def _one_minus_correlation(a: Tensor, b: Tensor, mask: Tensor, kind: Kind) -> Tensor:
    """Over the mask, a scalar; moments are means, so that large batches do not overflow."""
    count = mask.sum().clamp_min(1)

    def mean(values: Tensor) -> Tensor:
        return torch.where(mask, values, 0).sum() / count

    mean_a, mean_b = mean(a), mean(b)
    covariance, var_a, var_b = mean((a - mean_a) * (b - mean_b)), mean((a - mean_a) ** 2), mean((b - mean_b) ** 2)
    noise = (8 * torch.finfo(a.dtype).eps) ** 2  # what rounding leaves of the variance of equal numbers up to 1
    if kind == "pearson":
        defined = (var_a > noise) & (var_b > noise)
        below = torch.where(defined, var_a, 1).sqrt() * torch.where(defined, var_b, 1).sqrt()
        rho = covariance / below
    else:
        defined = var_a + var_b > noise
        rho = 2 * covariance / torch.where(defined, var_a + var_b + (mean_a - mean_b) ** 2, 1)
    return torch.where(defined, 1 - rho, 0)  # not so for a single number, which has no variance
