"""Focal loss as a soft sampling; what it shares with the focal loss itself and with other methods that read p_t.

Numerics: 1 - p_t is sigmoid(x) with x the logit of what is wrong, or -expm1(log p_t); its power is exp(γ log(1 - p_t)),
so that values and gradients stay finite at any logit and any γ >= 0.
"""

from collections.abc import Callable
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.errors import ConfigError, check_name
from hardmine.samples import Activation, Evidence, Samples
from hardmine.sampling.base import Sampling

__all__ = [
    "FocalFactor",
    "balanced",
    "check_alpha",
    "check_gamma",
    "log_probability_of_label",
    "of_each_class",
    "put_label_right",
    "sigmoid_power",
    "softmax_power",
]


class FocalFactor(Sampling):
    """Counts a sample, or each class of it, the less, the better it is classified.

        w = α_t (1 - p_t)^γ

    Lin, Goyal, Girshick, He, Dollár, Focal Loss for Dense Object Detection, ICCV 2017, arXiv:1708.02002, eq. 5.
    With `CrossEntropy` as the loss it is focal loss; with any other loss it is that loss, focused.

    Convention: p_t is p for the labelled class and 1 - p for all others; weights are (B, N, C) for sigmoid heads. For
    softmax heads p_t is the probability of the label, the background's included; weights are (B, N).
    Gradient: through w, as in the paper.

    Args: gamma: 0 leaves α alone.  alpha: weight of positives, negatives get 1 - alpha; None for no balance.
    Raises: ConfigError: gamma below 0, alpha out of [0, 1], or an unknown activation.
    """

    needs: frozenset[Evidence] = frozenset({"logits", "labels"})
    through_grad = True

    def __init__(self, gamma: float = 2.0, alpha: float | None = 0.25, activation: Activation = "sigmoid"):
        super().__init__()
        check_gamma("FocalFactor", gamma)
        check_alpha(alpha)
        check_name("activation", activation, get_args(Activation))
        self.gamma, self.alpha, self.activation = gamma, alpha, activation

    def weigh(self, samples: Samples) -> Tensor:
        labels = samples["labels"]
        logits = torch.where(samples.assignment.is_valid.unsqueeze(-1), samples["logits"], 0)
        if self.activation == "sigmoid":
            return of_each_class(self._of_sigmoid, logits, labels, self.alpha)
        return balanced(softmax_power(log_probability_of_label(logits, labels), self.gamma), labels, self.alpha)

    def _of_sigmoid(self, x: Tensor) -> Tensor:
        return sigmoid_power(x, F.softplus(x), self.gamma)


def of_each_class(
    function: Callable[[Tensor], Tensor], logits: Tensor, labels: Tensor, alpha: float | None = None
) -> Tensor:
    """α_t · function(x) of every class of sigmoid logits, (B, N, C), (B, N) -> (B, N, C); sigmoid(x) is 1 - p_t.

    The labelled class has x = -z, every other class x = z.
    """
    positive_weight, negative_weight = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    as_negative = function(logits) * negative_weight
    return put_label_right(as_negative, logits, labels, lambda own: function(-own) * positive_weight)


def put_label_right(
    as_negative: Tensor, logits: Tensor, labels: Tensor, as_positive: Callable[[Tensor], Tensor]
) -> Tensor:
    """What holds of every class as a negative, (B, N, C), with the labelled one put right from its logit (B, N, 1).

    It needs no one-hot copy of the labels.
    """
    if logits.shape[-1] == 0:
        return as_negative
    label = labels.clamp_min(0).unsqueeze(-1)
    own = torch.where(labels.unsqueeze(-1) >= 0, as_positive(logits.gather(-1, label)), as_negative.gather(-1, label))
    return as_negative.scatter(-1, label, own)


def sigmoid_power(x: Tensor, softplus_x: Tensor, gamma: float | Tensor) -> Tensor:
    """(1 - p_t)^γ where 1 - p_t = sigmoid(x) = exp(x - softplus(x))."""
    return torch.exp(gamma * (x - softplus_x))


def log_probability_of_label(logits: Tensor, labels: Tensor) -> Tensor:
    """log p_t of softmax logits with background last, (B, N, C + 1), (B, N) -> (B, N)."""
    target = torch.where(labels >= 0, labels, logits.shape[-1] - 1)
    return F.log_softmax(logits, dim=-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)


def softmax_power(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p_t)^γ, given log p_t."""
    # the smallest normal number keeps the slope of u^γ finite at u = 0
    wrong = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return torch.exp(gamma * wrong.log())


def balanced(value: Tensor, labels: Tensor, alpha: float | None) -> Tensor:
    """α_t · value, one a sample."""
    return value if alpha is None else torch.where(labels >= 0, alpha * value, (1 - alpha) * value)


def check_gamma(method: str, gamma: float) -> None:
    if not gamma >= 0:
        raise ConfigError(f"{method} needs gamma >= 0, got {gamma}")


def check_alpha(alpha: float | None) -> None:
    if alpha is not None and not 0 <= alpha <= 1:
        raise ConfigError(f"alpha must be in [0, 1] or None, got {alpha}")
