"""Sigmoid losses whose target is how good a sample's box is: QFL, VFL, MAL and IA-BCE.

All want the labelled class of a positive to score ``quality`` = q and every other class 0. With p the score:

    QFL  |q - p|^β · BCE(p, q)      for q = 0 this is p^β · BCE(p, 0)
    VFL  q · BCE(p, q)  if q > 0,   α p^γ · BCE(p, 0)  otherwise
    MAL  BCE(p, q^γ)  if labelled,  p^γ · BCE(p, 0)  otherwise, with p^γ held fixed
    IA-BCE  BCE(p, t)  if labelled,  p^γ · BCE(p, 0)  otherwise;  t = max(p^α q^(1-α), .01), held fixed

Numerics: with a = 1 for z > 0 and 0 otherwise, BCE(p, q) = softplus(-|z|) + z (a - q), and p - q, its slope, is
(a - q) ± sigmoid(-|z|), so that nothing cancels where p is close to 0 or 1.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.blocks import by_blocks
from hardmine.core.samples import Evidence
from hardmine.core.scores import check_alpha, check_gamma, is_label, sigmoid_power
from hardmine.core.slopes import Sloped
from hardmine.errors import ConfigError
from hardmine.losses.classification import ClassificationLoss

__all__ = ["IABCE", "MAL", "QFL", "VFL"]

LOWEST_TARGET = 0.01
"""Of a labelled class, however bad the box, as in the code of LW-DETR and RF-DETR."""


class _QualityLoss(ClassificationLoss):
    """One loss a class, against what it should score: (logits, labels, quality (B, N)) -> (B, N, C)."""

    needs: frozenset[Evidence] = frozenset({"quality"})

    def __init__(self):
        super().__init__("sigmoid")

    def target(self, quality: Tensor) -> Tensor:
        """What the labelled class should score."""
        return quality

    @abstractmethod
    def of_each_class(self, logits: Tensor, target: Tensor, is_own: Tensor) -> Sloped:
        """Loss of each class, three times (B, N, C) -> (B, N, C); the target is 0 where the class is not the label."""

    def forward(self, logits: Tensor, labels: Tensor, *, quality: Tensor) -> Tensor:
        return by_blocks(self._of_rows, logits, labels, self.target(quality.detach().to(logits.dtype)))

    def _of_rows(self, logits: Tensor, labels: Tensor, target: Tensor) -> Sloped:
        is_own = is_label(labels, logits.shape[-1])
        return self.of_each_class(logits, torch.where(is_own, target.unsqueeze(-1), 0), is_own)


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

    def of_each_class(self, logits: Tensor, target: Tensor, is_own: Tensor) -> Sloped:
        """With d = p - q, d' = p (1 - p) and BCE' = d the slope is |d|^β (d + β p (1 - p) BCE / d)."""
        cross_entropy, gap, rest = _cross_entropy(logits, target)
        # below the smallest normal number the clamp stops the gradient: the slope of u^β may be infinite at u = 0
        away = gap.abs().clamp_min(torch.finfo(gap.dtype).tiny)
        factor = away.pow(self.beta)

        def slope() -> Tensor:
            of_gap = torch.ops.aten.sigmoid_backward(cross_entropy, rest) * gap.sign()  # BCE p (1 - p)
            return factor * torch.addcdiv(gap, of_gap, away, value=self.beta)

        return factor * cross_entropy, slope


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

    def of_each_class(self, logits: Tensor, target: Tensor, is_own: Tensor) -> Sloped:
        """BCE' = p - q; where q = 0 the factor has the slope α p^γ γ (1 - p)."""
        cross_entropy, gap, _ = _cross_entropy(logits, target)
        is_positive = target > 0
        as_negative = self.alpha * sigmoid_power(logits, gap, self.gamma)  # where q = 0 the gap is p
        factor = torch.where(is_positive, target if self.iou_weighted else 1.0, as_negative)

        def slope() -> Tensor:
            of_factor = ((1 - gap) * cross_entropy).masked_fill(is_positive, 0)
            return factor * torch.add(gap, of_factor, alpha=self.gamma)

        return factor * cross_entropy, slope


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

    def target(self, quality: Tensor) -> Tensor:
        return quality.pow(self.gamma)

    def of_each_class(self, logits: Tensor, target: Tensor, is_own: Tensor) -> Sloped:
        """BCE' = p - q, times the factor that is held fixed."""
        cross_entropy, gap, _ = _cross_entropy(logits, target)
        as_negative = sigmoid_power(logits.detach(), gap.detach(), self.gamma)  # where q = 0 the gap is p
        factor = as_negative.masked_fill(is_own, 1)
        return factor * cross_entropy, lambda: factor * gap


class IABCE(_QualityLoss):
    """Counts all positives once, against a target between their score and their quality: BCE(p, max(p^α q^(1-α), .01)).

    Negatives count by their score, p^γ BCE(p, 0). Cai et al., Align-DETR, BMVC 2024, arXiv:2304.07527, as LW-DETR and
    RF-DETR have it: without the paper's weights of further matches.

    Convention: α = 0 is a target of the quality alone, α = 1 leaves every positive as it is.
    Gradient: through p^γ; none through the target, neither its p nor its q.
    Differs from the code in transformers, where logits beyond 17 make it infinite: it is finite at any logit.

    Args: alpha: share of the score in the target, in [0, 1].  gamma: focusing of negatives, at least 0.
    Raises: ConfigError: alpha or gamma out of range.
    """

    through_grad = False

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        super().__init__()
        check_gamma("IABCE", gamma)
        check_alpha(alpha)
        self.alpha, self.gamma = alpha, gamma

    def of_each_class(self, logits: Tensor, target: Tensor, is_own: Tensor) -> Sloped:
        """BCE' = p - t of the label; of other classes, where the gap is p, the factor has the slope p^γ γ (1 - p)."""
        fixed = logits.detach()
        of_score = sigmoid_power(fixed, fixed.sigmoid(), self.alpha)
        aligned = (of_score * target.pow(1 - self.alpha)).clamp_min(LOWEST_TARGET)
        cross_entropy, gap, _ = _cross_entropy(logits, torch.where(is_own, aligned, 0))
        factor = sigmoid_power(logits, gap, self.gamma).masked_fill(is_own, 1)

        def slope() -> Tensor:
            of_factor = ((1 - gap) * cross_entropy).masked_fill(is_own, 0)
            return factor * torch.add(gap, of_factor, alpha=self.gamma)

        return factor * cross_entropy, slope


def _cross_entropy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """BCE(p, q), its slope p - q, and the smaller of p and 1 - p."""
    above = (logits > 0).to(logits.dtype)  # not abs() and clamp(), whose slopes at 0 are not the cross entropy's
    flip, miss = torch.rsub(above, 1, alpha=2), above - target
    folded = logits * flip  # -|z|
    rest = folded.sigmoid()
    return torch.addcmul(F.softplus(folded), logits, miss), torch.addcmul(miss, flip, rest), rest
