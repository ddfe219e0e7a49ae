"""Losses of the box, on its code (`SmoothL1`, `BalancedL1`) or on the decoded box itself (`IoU` and its kin)."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.core.boxes import at_least_float32, complete_iou, distance_iou, generalized_iou, paired_iou
from hardmine.core.slopes import Sloped, with_slope
from hardmine.errors import ConfigError, check_name

__all__ = ["ASL1", "BalancedL1", "CIoU", "DIoU", "GIoU", "IoU", "RegressionLoss", "SmoothL1"]

Scale = Literal["linear", "log"]


class RegressionLoss(nn.Module, ABC):
    """How far each sample's box is off, unreduced.

    On codes: (B, N, 4), (B, N, 4) -> (B, N, 4), one loss for each of the four numbers. On boxes: -> (B, N). On
    distributions: (B, N, 4, n + 1), (B, N, 4) -> (B, N, 4); torchvision's heads predict no distribution.
    """

    space: ClassVar[Literal["code", "box", "distribution"]]
    """What the two arguments are: codes relative to the anchor, decoded boxes in pixels, or logits and bins."""
    through_grad: ClassVar[bool] = True
    """Whether the gradient is that of the whole loss; False where a factor of it is held fixed."""

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
        if not beta >= 0:
            raise ConfigError(f"SmoothL1 needs beta >= 0, got {beta}")
        self.beta = beta

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(predicted, target, reduction="none", beta=self.beta)


class ASL1(RegressionLoss):
    """Quadratic near 0, linear far away, and smooth throughout ("authentic smooth L1").

        ℓ(d) = √(d² + μ²) - μ,   ℓ'(d) = d / √(d² + μ²)

    Li, Liu, Wang, Gradient Harmonized Single-stage Detector, AAAI 2019, arXiv:1811.05181. No two errors have the same
    gradient norm, which is what `GHMR` weighs by.

    Raises: ConfigError: mu not above 0.
    """

    space = "code"

    def __init__(self, mu: float = 0.02):
        super().__init__()
        if not mu > 0:
            raise ConfigError(f"ASL1 needs mu > 0, got {mu}")
        self.mu = mu

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return with_slope(self._of_code, predicted, target)

    def _of_code(self, predicted: Tensor, target: Tensor) -> Sloped:
        d = predicted - target
        root = torch.hypot(d, d.new_full((), self.mu))
        return d * (d / (root + self.mu)), lambda: d / root  # the same, without cancellation


class BalancedL1(RegressionLoss):
    """Gives a small error more gradient than smooth L1 does, and a large one a limited gradient.

        dℓ/d|d| = α ln(b|d|/β + 1)  if |d| < β,  γ  otherwise;   b = exp(γ/α) - 1 makes the two meet
        ℓ(d) = (αβ/b) (u + 1) ln(u + 1) - α|d|,  u = b|d|/β,  if |d| < β;   γ (|d| - β) + ℓ(β)  otherwise

    Pang et al., Libra R-CNN, CVPR 2019, arXiv:1904.02701 (there β = 1).
    Differs from mmdetection's and the authors' code where β is not 1: theirs has (α/b) (b|d| + 1) in front of the
    logarithm, whose slope at 0 is α/β - α. For β > 1 that is below 0, so that its minimum is not at the target.

    Raises: ConfigError: alpha, gamma or beta not above 0, or gamma above 50 alpha, where b is too large a number.
    """

    space = "code"

    def __init__(self, alpha: float = 0.5, gamma: float = 1.5, beta: float = 1.0):
        super().__init__()
        if not (alpha > 0 and beta > 0 and 0 < gamma <= 50 * alpha):
            raise ConfigError(
                f"BalancedL1 needs alpha > 0, beta > 0 and gamma in (0, 50 alpha], got {alpha}, {beta} and {gamma}"
            )
        self.alpha, self.gamma, self.beta, self.b = alpha, gamma, beta, math.expm1(gamma / alpha)

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        raised = at_least_float32(predicted)
        return with_slope(self._of_code, raised, target.to(raised.dtype)).to(predicted.dtype)

    def _of_code(self, predicted: Tensor, target: Tensor) -> Sloped:
        error = predicted - target
        distance = error.abs()
        inner = distance.clamp_max(self.beta)
        size = torch.special.xlog1py(self.alpha, inner * (self.b / self.beta))  # of the slope
        near = torch.add((inner + self.beta / self.b) * size, inner, alpha=-self.alpha)
        return torch.add(near, distance - inner, alpha=self.gamma), lambda: torch.copysign(size, error)


class IoU(RegressionLoss):
    """1 - IoU of the decoded box, in [0, 1], or -ln IoU.

    Yu et al., UnitBox, ACM MM 2016, arXiv:1608.01471, has the logarithm.

    Convention: the logarithm is taken of 1e-6 at least (so does mmdetection), a loss of 13.8; where boxes do not
    overlap there is no gradient, in either form.

    Raises: ConfigError: a mode that is neither "linear" nor "log".
    """

    space = "box"

    def __init__(self, mode: Scale = "linear"):
        super().__init__()
        check_name("mode", mode, get_args(Scale))
        self.mode: Scale = mode

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        iou = paired_iou(at_least_float32(predicted), at_least_float32(target))
        loss = 1 - iou if self.mode == "linear" else -iou.clamp_min(1e-6).log()
        return loss.to(predicted.dtype)


class GIoU(RegressionLoss):
    """1 - GIoU of the decoded box, in [0, 2].

    Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, arXiv:1902.09630.
    """

    space = "box"

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return 1 - generalized_iou(predicted, target)


class DIoU(RegressionLoss):
    """1 - IoU of the decoded box, and how far its centre is off, in [0, 2]; see `distance_iou`.

    Zheng et al., Distance-IoU Loss, AAAI 2020, arXiv:1911.08287.
    Differs from torchvision's and mmdetection's code: they add 1e-7 and 1e-6 to every denominator, we to none.
    """

    space = "box"

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return 1 - distance_iou(predicted, target)


class CIoU(RegressionLoss):
    """1 - IoU of the decoded box, how far its centre is off, and how far its shape, in [0, 3); see `complete_iou`.

    Zheng et al., Distance-IoU Loss, AAAI 2020, arXiv:1911.08287.
    Gradient: none through α, the balance of the shape.
    Differs from both peers' code at 0 / 0: torchvision's is NaN for a box without extent, mmdetection's for a perfect
    one. From mmdetection's: it looks at the shape only where IoU > 0.5, and limits the loss to 2.
    """

    space = "box"
    through_grad = False

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return 1 - complete_iou(predicted, target)
