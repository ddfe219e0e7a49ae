"""Seesaw loss: frequent classes push rare ones down less, and whoever pushes wrongly is pushed back more."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import IGNORE
from hardmine.core.scores import column_of_label
from hardmine.core.state import snapshot
from hardmine.errors import ConfigError, ShapeError
from hardmine.losses.classification import ClassificationLoss
from hardmine.sampling.class_balanced import count_labels

__all__ = ["Seesaw"]


class Seesaw(ClassificationLoss):
    """Cross entropy in which a sample of class t pushes the score of class j by a factor M_tj · C_j.

        ℓ = -log softmax(z + ln(M C))_t,   M_tj = min(1, (N_j / N_t)^p),   C_j = max(1, s_j / max(s_t, ε))^q

    with N the samples of each class so far and s = softmax(z). M spares rare classes, C takes that back where j is
    scored above t. Wang et al., Seesaw Loss for Long-Tailed Instance Segmentation, CVPR 2021, arXiv:2008.10032.

    Convention: for softmax heads, background last. Counts of the call itself are included. The background is nobody's
    rival: M = 1 where t or j is the background, or else its many samples would hardly teach a rare class to be silent.
    Gradient: M and C are held fixed, as in the paper.
    State: ``counts`` (C + 1) of the samples given in training, over all ranks; a pass without gradient (which only
    looks for hard samples, or validates) counts nothing.
    Differs from mmdetection: that gives the background two scores of its own beside those of the classes; here any
    softmax head will do. Ignored samples are not counted.

    Args: p: strength of M.  q: strength of C.  eps: least s_t in C.
        background_is_class: whether the last column is a class like the others for M.
    Raises: ConfigError: an argument out of range.
    """

    through_grad = False
    counts: Tensor

    def __init__(
        self, num_classes: int, p: float = 0.8, q: float = 2.0, eps: float = 0.01, background_is_class: bool = False
    ):
        super().__init__("softmax")
        if not (num_classes >= 1 and p >= 0 and q >= 0 and 0 < eps <= 1):
            raise ConfigError(
                f"Seesaw needs num_classes >= 1, p >= 0, q >= 0 and eps in (0, 1], got {num_classes}, {p}, {q}, {eps}"
            )
        self.p, self.q, self.eps, self.background_is_class = p, q, eps, background_is_class
        self.register_buffer("counts", torch.zeros(num_classes + 1, dtype=torch.int64))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if logits.shape[-1] != len(self.counts):
            raise ShapeError(f"Seesaw of {len(self.counts) - 1} classes got logits {tuple(logits.shape)}")
        ignored = labels == IGNORE
        target = column_of_label(labels, len(self.counts))
        if self.training and torch.is_grad_enabled():
            self.counts += count_labels(target.masked_fill(ignored, IGNORE), len(self.counts))
        safe, target = at_least_float32(logits).masked_fill(ignored.unsqueeze(-1), 0), target.unsqueeze(-1)
        # both logarithms are 0 for the label itself
        pushed = safe + self._log_mitigation(target, safe.dtype) + self._log_compensation(safe.detach(), target)
        loss = -F.log_softmax(pushed, dim=-1).gather(-1, target).squeeze(-1)
        return loss.masked_fill(ignored, 0).to(logits.dtype)

    def _log_mitigation(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """ln M, (B, N, C + 1)."""
        log_counts, background = snapshot(self.counts).clamp_min(1).to(dtype).log(), len(self.counts) - 1
        log_m = self.p * (log_counts - log_counts[target]).clamp_max(0)
        if self.background_is_class:
            return log_m
        column = torch.arange(len(self.counts), device=target.device)
        return log_m.masked_fill((column == background) | (target == background), 0)

    def _log_compensation(self, logits: Tensor, target: Tensor) -> Tensor:
        """ln C, (B, N, C + 1)."""
        log_scores = F.log_softmax(logits, dim=-1)
        return self.q * (log_scores - log_scores.gather(-1, target).clamp_min(math.log(self.eps))).clamp_min(0)
