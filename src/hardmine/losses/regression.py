"""Losses of the box, on its code (`SmoothL1`) or on the decoded box itself (`GIoU`)."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.boxes import generalized_iou
from hardmine.errors import ConfigError

__all__ = ["GIoU", "RegressionLoss", "SmoothL1"]


class RegressionLoss(nn.Module, ABC):
    """How far each sample's box is off, unreduced.

    On codes: (B, N, 4), (B, N, 4) -> (B, N, 4), one loss for each of the four numbers. On boxes: -> (B, N).
    """

    space: ClassVar[Literal["code", "box"]]
    """What the two arguments are: codes relative to the anchor, or decoded boxes in pixels."""

    @abstractmethod
    def forward(self, predicted: Tensor, target: Tensor) -> Tensor: ...


class SmoothL1(RegressionLoss):
    """Quadratic near 0, linear beyond ``beta``.

        ℓ(d) = d² / (2β)  if |d| < β,  |d| - β/2  otherwise;   β = 0 is L1

    Girshick, Fast R-CNN, ICCV 2015, arXiv:1504.08083, eq. 3 (there β = 1; torchvision's and Detectron's RPN use 1/9).

    Raises: ConfigError: beta below 0.
    """

    space = "code"

    def __init__(self, beta: float = 1.0):
        super().__init__()
        if beta < 0:
            raise ConfigError(f"SmoothL1 needs beta >= 0, got {beta}")
        self.beta = beta

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(predicted, target, reduction="none", beta=self.beta)


class GIoU(RegressionLoss):
    """1 - GIoU of the decoded box, in [0, 2].

    Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, arXiv:1902.09630.
    """

    space = "box"

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return 1 - generalized_iou(predicted, target)
