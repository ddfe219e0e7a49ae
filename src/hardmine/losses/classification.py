"""Cross entropy, balanced cross entropy and focal loss, for sigmoid and softmax heads.

    CE(p_t) = -log p_t          balanced: -α_t log p_t          focal: -α_t (1 - p_t)^γ log p_t

with p_t the probability of what is true: p for the labelled class, 1 - p for all others. Each is the one below with a
parameter at its neutral value (γ = 0; no α), so all three share one formula for sigmoid and one for softmax heads.

Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, arXiv:1708.02002, eqs. 1-5.

Numerics: log p_t comes from softplus or log_softmax, never from log(p), and (1 - p)^γ from `scores`, so
losses and gradients stay finite at any logit and any γ >= 0.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.core.blocks import by_blocks
from hardmine.core.samples import Activation, Evidence
from hardmine.core.scores import (
    balanced,
    check_alpha,
    check_gamma,
    of_each_class,
    replace_ignored,
    sigmoid_power,
    softmax_cross_entropy,
    softmax_power,
)
from hardmine.core.slopes import Sloped
from hardmine.errors import ConfigError

__all__ = ["BalancedCE", "ClassificationLoss", "CrossEntropy", "Focal"]


class ClassificationLoss(nn.Module, ABC):
    """How wrong each sample's class scores are, unreduced.

    Sigmoid heads: logits (B, N, C) -> loss (B, N, C), one a class. Softmax heads: logits (B, N, C + 1), background
    last, -> loss (B, N). Labels (B, N) are 0..C-1, BACKGROUND or IGNORE; an ignored sample has loss 0 at any logits.

    A loss that is `listwise` compares the samples of a batch with each other: it gives one number for all of them,
    already averaged, and so takes a whole slot.
    """

    needs: frozenset[Evidence] = frozenset()
    """Evidence that `forward` takes by keyword, beside logits and labels."""
    listwise: ClassVar[bool] = False
    """Whether the loss is one number for the whole batch."""
    on_device: ClassVar[bool] = True
    """False where a call waits for the device, because what it does next depends on values."""
    through_grad: bool = True
    """Whether the gradient is that of the whole loss; False where a factor of it is held fixed."""

    def __init__(self, activation: Activation):
        super().__init__()
        if activation not in get_args(Activation):
            raise ConfigError(f"activation must be one of {get_args(Activation)}, got {activation!r}")
        self.activation: Activation = activation

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(logits, labels, and by keyword what `needs` names) -> loss."""


class CrossEntropy(ClassificationLoss):
    """Counts every sample alike: -log p_t."""

    def __init__(self, activation: Activation = "softmax"):
        super().__init__(activation)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return _focal(logits, labels, self.activation, gamma=0.0, alpha=None)


class BalancedCE(ClassificationLoss):
    """Counts positives α and negatives 1 - α: -α_t log p_t (eq. 3).

    Differs from the class-frequency weights of other fields: α is one number for all foreground classes.
    Raises: ConfigError: alpha out of [0, 1].
    """

    def __init__(self, alpha: float = 0.75, activation: Activation = "sigmoid"):
        super().__init__(activation)
        check_alpha(alpha)
        self.alpha = alpha

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return _focal(logits, labels, self.activation, gamma=0.0, alpha=self.alpha)


class Focal(ClassificationLoss):
    """Counts a sample the less, the better it is classified: -α_t (1 - p_t)^γ log p_t (eq. 5).

    Gradient: the factor is differentiated, as in the paper. For softmax heads p_t is the softmax probability of the
    label, the usual generalisation; the paper has sigmoid heads only.

    Args: alpha: weight of positives, negatives get 1 - alpha; None for no balance.
    Raises: ConfigError: gamma below 0, or alpha out of [0, 1].
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = 0.25, activation: Activation = "sigmoid"):
        super().__init__(activation)
        check_gamma("Focal", gamma)
        check_alpha(alpha)
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return _focal(logits, labels, self.activation, self.gamma, self.alpha)


def _focal(logits: Tensor, labels: Tensor, activation: Activation, gamma: float, alpha: float | None) -> Tensor:
    """The shared formula; ignored rows get safe logits first."""
    if activation == "sigmoid":
        return by_blocks(partial(_sigmoid_focal, gamma=gamma, alpha=alpha), logits, labels)
    return _softmax_focal(replace_ignored(logits, labels), labels, gamma, alpha)


def _sigmoid_focal(logits: Tensor, labels: Tensor, gamma: float, alpha: float | None) -> Sloped:
    return of_each_class(partial(_focused, gamma=gamma), logits, labels, alpha)


def _focused(x: Tensor, gamma: float) -> Sloped:
    """u^γ ℓ with u = 1 - p_t = sigmoid(x) and the cross entropy ℓ = -log p_t = softplus(x).

    Since u' = u (1 - u) and ℓ' = u, the slope is u^γ (u + γ (1 - u) ℓ); for γ = 0 it is u.
    """
    wrong, cross_entropy = torch.sigmoid(x), F.softplus(x)
    if gamma == 0:
        return cross_entropy, lambda: wrong
    power = sigmoid_power(x, wrong, gamma)
    return power * cross_entropy, lambda: power * torch.addcmul(wrong, 1 - wrong, cross_entropy, value=gamma)


def _softmax_focal(logits: Tensor, labels: Tensor, gamma: float, alpha: float | None) -> Tensor:
    cross_entropy = softmax_cross_entropy(logits, labels)
    loss = cross_entropy if gamma == 0 else softmax_power(-cross_entropy, gamma) * cross_entropy
    return balanced(loss, labels, alpha)
