"""Distribution focal loss: a side of the box as a distribution over bins instead of one number."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.errors import ConfigError, ShapeError
from hardmine.losses.regression import RegressionLoss

__all__ = ["DFL"]


class DFL(RegressionLoss):
    """How little of a side's distribution lies on the two bins around its true length.

        ℓ(z, y) = -((i + 1 - y) log S_i + (y - i) log S_{i+1}),   S = softmax(z),  i <= y <= i + 1

    Li et al., Generalized Focal Loss, NeurIPS 2020, arXiv:2006.04388 (there ``bins`` = 16).

    Convention: bins 0 to n, n + 1 logits; targets in [0, n], in units of a bin; what lies outside counts as the nearest
    end. The loss is smallest, but not 0, where S has 1 - (y - i) on bin i and y - i on bin i + 1.
    Differs from mmdetection's code: y = n is a target like any other; there it looks for a bin n + 1 and fails.

    Args: bins: n, the largest length.
    Raises: ConfigError: bins below 1.  ShapeError: not n + 1 logits a side.
    """

    space = "distribution"

    def __init__(self, bins: int = 16):
        super().__init__()
        if bins < 1:
            raise ConfigError(f"DFL needs bins >= 1, got {bins}")
        self.bins = bins

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        if predicted.shape != (*target.shape, self.bins + 1):
            raise ShapeError(
                f"DFL got logits {tuple(predicted.shape)} and targets {tuple(target.shape)}; "
                f"expected (B, N, 4, {self.bins + 1}) and (B, N, 4)"
            )
        target = target.clamp(0, self.bins)
        left = target.long().clamp(0, self.bins - 1)  # for y = n the pair n - 1, n; and an index even for NaN
        share = target - left
        log_p = F.log_softmax(predicted, dim=-1).gather(-1, torch.stack([left, left + 1], dim=-1))
        return -((1 - share) * log_p[..., 0] + share * log_p[..., 1])
