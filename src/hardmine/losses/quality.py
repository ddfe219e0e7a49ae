"""Sigmoid losses whose target is how good a sample's box is: QFL, VFL and MAL.

All want the labelled class of a positive to score ``quality`` = q and every other class 0. With p the score:

    QFL  |q - p|^β · BCE(p, q)      for q = 0 this is p^β · BCE(p, 0)
    VFL  q · BCE(p, q)  if q > 0,   α p^γ · BCE(p, 0)  otherwise
    MAL  BCE(p, q^γ)  if labelled,  p^γ · BCE(p, 0)  otherwise, with p^γ held fixed

Numerics: BCE(p, q) = q softplus(-z) + (1 - q) softplus(z) and q - p = q sigmoid(-z) - (1 - q) sigmoid(z), so that
nothing cancels where p is close to 0 or 1.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.errors import ConfigError
from hardmine.losses.classification import ClassificationLoss
from hardmine.samples import IGNORE, Evidence
from hardmine.scores import check_gamma, put_label_right, sigmoid_power

__all__ = ["MAL", "QFL", "VFL"]


class _QualityLoss(ClassificationLoss):
    """The two halves of a loss, put together: (logits, labels, quality (B, N)) -> (B, N, C)."""

    needs: frozenset[Evidence] = frozenset({"quality"})

    def __init__(self):
        super().__init__("sigmoid")

    @abstractmethod
    def negative(self, logits: Tensor) -> Tensor:
        """Loss of a class that should score 0, any shape."""

    @abstractmethod
    def positive(self, logits: Tensor, quality: Tensor) -> Tensor:
        """Loss of a class that should score its quality, both of one shape."""

    def forward(self, logits: Tensor, labels: Tensor, *, quality: Tensor) -> Tensor:
        valid = (labels != IGNORE).unsqueeze(-1)
        logits = torch.where(valid, logits, 0)
        quality = torch.where(labels >= 0, quality, 0).detach().to(logits.dtype).unsqueeze(-1)
        loss = put_label_right(self.negative(logits), logits, labels, lambda own: self.positive(own, quality))
        return torch.where(valid, loss, 0)


class QFL(_QualityLoss):
    """Counts a class the more, the farther its score is from the quality: |q - p|^β BCE(p, q).

    Li et al., Generalized Focal Loss, NeurIPS 2020, arXiv:2006.04388. For q in {0, 1} it is focal loss without α.

    Convention: smallest where p = q, as good as that score can be.
    Gradient: through the factor too, as in the paper; for β < 1 it has a cusp at p = q, where the gradient given is 0.

    Raises: ConfigError: beta below 0.
    """

    def __init__(self, beta: float = 2.0):
        super().__init__()
        if not beta >= 0:
            raise ConfigError(f"QFL needs beta >= 0, got {beta}")
        self.beta = beta

    def negative(self, logits: Tensor) -> Tensor:
        cross_entropy = F.softplus(logits)
        return sigmoid_power(logits, cross_entropy, self.beta) * cross_entropy

    def positive(self, logits: Tensor, quality: Tensor) -> Tensor:
        away = (quality * torch.sigmoid(-logits) - (1 - quality) * torch.sigmoid(logits)).abs()
        # below the smallest normal number the clamp stops the gradient: the slope of u^β may be infinite at u = 0
        return away.clamp_min(torch.finfo(away.dtype).tiny).pow(self.beta) * _cross_entropy(logits, quality)


class VFL(_QualityLoss):
    """Counts positives by their quality and negatives by their score: q BCE(p, q), and α p^γ BCE(p, 0) where q = 0.

    Zhang et al., VarifocalNet, CVPR 2021, arXiv:2008.13367. Positives are not weighed down for being easy.

    Convention: a positive of quality 0 is a negative, as in the paper's equation.
    Gradient: through p^γ; none through q.
    Differs from the code of RT-DETR and D-FINE, which hold p^γ fixed and give a positive of quality 0 no loss at all.

    Args: alpha: weight of negatives.  iou_weighted: False counts all positives once, whatever their quality.
    Raises: ConfigError: alpha or gamma below 0.
    """

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, iou_weighted: bool = True):
        super().__init__()
        check_gamma("VFL", gamma)
        if not alpha >= 0:
            raise ConfigError(f"VFL needs alpha >= 0, got {alpha}")
        self.alpha, self.gamma, self.iou_weighted = alpha, gamma, iou_weighted

    def negative(self, logits: Tensor) -> Tensor:
        cross_entropy = F.softplus(logits)
        return self.alpha * sigmoid_power(logits, cross_entropy, self.gamma) * cross_entropy

    def positive(self, logits: Tensor, quality: Tensor) -> Tensor:
        loss = _cross_entropy(logits, quality)
        return torch.where(quality > 0, quality * loss if self.iou_weighted else loss, self.negative(logits))


class MAL(_QualityLoss):
    """Counts all positives once, against the target q^γ, and negatives by their score: p^γ BCE(p, 0).

    Huang et al., DEIM, CVPR 2025, arXiv:2412.04234: matchability-aware loss. Unlike in VFL, a positive whose box is bad
    still counts.

    Gradient: none through p^γ nor q.

    Raises: ConfigError: gamma below 0.
    """

    through_grad = False

    def __init__(self, gamma: float = 1.5):
        super().__init__()
        check_gamma("MAL", gamma)
        self.gamma = gamma

    def negative(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits).detach().pow(self.gamma) * F.softplus(logits)

    def positive(self, logits: Tensor, quality: Tensor) -> Tensor:
        return _cross_entropy(logits, quality.pow(self.gamma))


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return target * F.softplus(-logits) + (1 - target) * F.softplus(logits)
