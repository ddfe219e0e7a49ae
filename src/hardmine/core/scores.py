"""What the scores of a sample say of its label: p_t, its powers and logarithms, for sigmoid and for softmax heads.

Numerics: 1 - p_t is sigmoid(x) with x the logit of what is wrong, or -expm1(log p_t); its power is exp(γ log(1 - p_t)),
so that values and gradients stay finite at any logit and any γ >= 0.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.planes import cross_entropy_of_planes, lies_in_planes, sees_only_valid
from hardmine.core.samples import BACKGROUND, IGNORE, Activation
from hardmine.core.slopes import Sloped, held_fixed
from hardmine.errors import ConfigError

__all__ = [
    "balanced",
    "check_alpha",
    "check_gamma",
    "column_of_label",
    "gradient_norm",
    "is_label",
    "log_probability_of_label",
    "of_each_class",
    "replace_ignored",
    "sigmoid_power",
    "softmax_cross_entropy",
    "softmax_power",
]


def of_each_class(
    function: Callable[[Tensor], Sloped], logits: Tensor, labels: Tensor, alpha: float | None = None
) -> Sloped:
    """α_t · function(x) of every class of sigmoid logits, (B, N, C), (B, N) -> (B, N, C); sigmoid(x) is 1 - p_t.

    The labelled class has x = -z, every other class x = z. With t = 1 for the label and 0 for the others α_t is
    1 - α - (1 - 2α) t, and times the sign of x, by which the slope goes on to z, it is 1 - α - t.
    """
    is_own = is_label(labels, logits.shape[-1])
    value, slope = function(_with_sign(logits, is_own))
    if alpha is None:
        return value, lambda: _with_sign(slope(), is_own)
    own = is_own.to(logits.dtype)
    return value * torch.rsub(own, 1 - alpha, alpha=1 - 2 * alpha), lambda: slope() * (1 - alpha - own)


def _with_sign(values: Tensor, is_own: Tensor) -> Tensor:
    """Minus the values of the labelled class."""
    return torch.where(is_own, -values, values)


def gradient_norm(x: Tensor) -> Sloped:
    """1 - p_t = sigmoid(x): how hard the cross entropy pulls at a logit."""
    return held_fixed(torch.sigmoid(x))


def sigmoid_power(x: Tensor, wrong: Tensor, gamma: float | Tensor) -> Tensor:
    """(1 - p_t)^γ where 1 - p_t = sigmoid(x), which is ``wrong``; whole powers are products, and so faster."""
    if not isinstance(gamma, Tensor) and float(gamma).is_integer():
        return wrong.pow(int(gamma))
    return torch.exp(gamma * F.logsigmoid(x))


def log_probability_of_label(logits: Tensor, labels: Tensor, activation: Activation) -> Tensor:
    """ln of the probability of each sample's label, (B, N, C) or (B, N, C + 1), (B, N) -> (B, N).

    Of softmax logits the background is a label as well; of sigmoid logits it has none, and the number means nothing.
    """
    if activation == "softmax":
        return -softmax_cross_entropy(logits, labels)
    return F.logsigmoid(logits.gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1))


def replace_ignored(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with 0 for those of ignored samples, whatever these are.

    What is made of them must already have no gradient there: it is let through as it is, which saves a pass over it.
    Of pixels the cross entropy sees to that itself.
    """
    if sees_only_valid(logits):
        return logits
    return _masked(logits, labels) if torch.compiler.is_compiling() else _ReplaceIgnored.apply(logits, labels)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-ln of the probability of each sample's label, (B, N, C + 1), (B, N) -> (B, N); 0 where it is ignored.

    Pixels have no background apart from their classes: (B, N, C).
    """
    column = labels.masked_fill(labels == BACKGROUND, logits.shape[-1] - 1)
    if lies_in_planes(logits):
        return cross_entropy_of_planes(logits, column)
    loss = F.cross_entropy(logits.flatten(0, 1), column.flatten(), ignore_index=IGNORE, reduction="none")
    return loss.view_as(labels)


def column_of_label(labels: Tensor, num_columns: int) -> Tensor:
    """Where softmax logits have the label: the background, and what is ignored, in the last column; (B, N)."""
    return F.threshold(labels, BACKGROUND, num_columns - 1)


def is_label(labels: Tensor, num_classes: int) -> Tensor:
    """Whether each class is the sample's label, (B, N) -> (B, N, C) bool.

    Where it is compiled it is compared on the fly, no one-hot copy, and in int32, of which a vector register holds
    twice as many.
    """
    labels = labels.int() if torch.compiler.is_compiling() else labels
    return labels.unsqueeze(-1) == torch.arange(num_classes, dtype=labels.dtype, device=labels.device)


def softmax_power(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p_t)^γ, given log p_t."""
    # the smallest normal number keeps the slope of u^γ finite at u = 0
    wrong = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return torch.exp(gamma * wrong.log())


def balanced(value: Tensor, labels: Tensor, alpha: float | None) -> Tensor:
    """α_t · value, one a sample."""
    return value if alpha is None else value * torch.rsub((labels >= 0).to(value.dtype), 1 - alpha, alpha=1 - 2 * alpha)


def check_gamma(method: str, gamma: float) -> None:
    if not gamma >= 0:
        raise ConfigError(f"{method} needs gamma >= 0, got {gamma}")


def check_alpha(alpha: float | None) -> None:
    if alpha is not None and not 0 <= alpha <= 1:
        raise ConfigError(f"alpha must be in [0, 1] or None, got {alpha}")


def _masked(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.masked_fill((labels == IGNORE).unsqueeze(-1), 0)


class _ReplaceIgnored(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        return _masked(logits, labels)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient, None
