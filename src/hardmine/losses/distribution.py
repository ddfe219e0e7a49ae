"""Distribution focal loss: a side of the box as a distribution over bins instead of one number."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.slopes import Sloped, with_slope
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
        return with_slope(self._of_sides, predicted, target.clamp(0, self.bins))

    def _of_sides(self, logits: Tensor, target: Tensor) -> Sloped:
        """The slope is S less the share of each of the two bins, 1 less how far the target is off."""
        left = target.long().clamp(0, self.bins - 1)  # for y = n the pair n - 1, n; and an index even for NaN
        pair = left.unsqueeze(-1) + torch.arange(2, device=left.device)
        less_share = (target.unsqueeze(-1) - pair).abs() - 1
        log_p = F.log_softmax(logits, dim=-1)
        return (less_share * log_p.gather(-1, pair)).sum(-1), lambda: log_p.exp().scatter_add_(-1, pair, less_share)
