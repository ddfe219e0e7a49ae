"""What DETR's kin lose on each query before it is summed: their own classification losses, element by element.

Each is a function of logits (B, N, C), or (B, N, C + 1) with the background last, of labels (B, N) in 0..C-1 or
BACKGROUND, and of the IoU (B, N) of a predicted box with its object, 0 without one. It gives losses (B, N, C) or (B, N)
with their gradient, in the framework's own form, so that their sum over its divisor is its own loss up to rounding.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.scores import is_label

__all__ = ["QueryLoss", "background_weighted", "focal", "ia_bce", "mal", "vfl"]

QueryLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def vfl(logits: Tensor, labels: Tensor, iou: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Varifocal loss of RT-DETR and D-FINE: p^γ is held fixed, and a positive of IoU 0 counts nothing."""
    own = is_label(labels, logits.shape[-1])
    target = iou.unsqueeze(-1).to(logits.dtype) * own
    weight = torch.where(own, target, alpha * logits.detach().sigmoid().pow(gamma))
    return F.binary_cross_entropy_with_logits(logits, target, weight=weight.to(logits.dtype), reduction="none")


def mal(logits: Tensor, labels: Tensor, iou: Tensor, *, alpha: float | None, gamma: float) -> Tensor:
    """Matchability-aware loss of DEIM: positives count once, against IoU^γ, and negatives by α p^γ."""
    own = is_label(labels, logits.shape[-1])
    target = (iou.unsqueeze(-1).to(logits.dtype) * own).pow(gamma)
    as_negative = (1.0 if alpha is None else alpha) * logits.detach().sigmoid().pow(gamma)
    weight = torch.where(own, 1.0, as_negative)
    return F.binary_cross_entropy_with_logits(logits, target, weight=weight.to(logits.dtype), reduction="none")


def ia_bce(logits: Tensor, labels: Tensor, iou: Tensor, *, alpha: float) -> Tensor:
    """IoU-aware binary cross entropy of LW-DETR and RF-DETR: a positive's target is p^α IoU^(1-α), at least .01."""
    own = is_label(labels, logits.shape[-1])
    score = logits.sigmoid()
    quality = score.detach().pow(alpha) * iou.unsqueeze(-1).to(logits.dtype).pow(1 - alpha)
    positive = torch.where(own, quality.clamp_min(0.01), 0)
    negative = torch.where(own, 1 - positive, score.square())
    return negative * logits - F.logsigmoid(logits) * (positive + negative)


def focal(logits: Tensor, labels: Tensor, _: Tensor, *, alpha: float, gamma: float = 2.0) -> Tensor:
    """Focal loss of Deformable DETR; alpha below 0 is none."""
    target = is_label(labels, logits.shape[-1]).to(logits.dtype)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    score = logits.sigmoid()
    wrong = score * (1 - target) + (1 - score) * target
    balance = alpha * target + (1 - alpha) * (1 - target) if alpha >= 0 else 1.0
    return balance * cross_entropy * wrong**gamma


def background_weighted(logits: Tensor, labels: Tensor, _: Tensor, *, background: float) -> Tensor:
    """Cross entropy of DETR, the background's times its own weight, (B, N)."""
    column = labels.where(labels >= 0, logits.shape[-1] - 1)
    loss = F.cross_entropy(logits.transpose(1, 2), column, reduction="none")
    return loss * torch.where(labels >= 0, 1.0, background).to(loss.dtype)
