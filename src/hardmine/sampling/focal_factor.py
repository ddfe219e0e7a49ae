"""Focal loss as a soft sampling."""

from functools import partial
from typing import get_args

import torch
from torch import Tensor

from hardmine.core.blocks import by_blocks
from hardmine.core.samples import Activation, Evidence, Samples
from hardmine.core.scores import (
    balanced,
    check_alpha,
    check_gamma,
    log_probability_of_label,
    of_each_class,
    replace_ignored,
    sigmoid_power,
    softmax_power,
)
from hardmine.core.slopes import Sloped
from hardmine.errors import check_name
from hardmine.sampling.base import Sampling

__all__ = ["FocalFactor"]


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
        logits, labels = samples["logits"], samples["labels"]
        if self.activation == "sigmoid":
            return by_blocks(partial(of_each_class, self._of_wrong, alpha=self.alpha), logits, labels)
        log_p = log_probability_of_label(replace_ignored(logits, labels), labels, "softmax")
        return balanced(softmax_power(log_p, self.gamma), labels, self.alpha)

    def _of_wrong(self, x: Tensor) -> Sloped:
        """u^γ with u = 1 - p_t = sigmoid(x), whose slope is γ u^γ (1 - u)."""
        wrong = torch.sigmoid(x)
        power = sigmoid_power(x, wrong, self.gamma)
        return power, lambda: power * torch.rsub(wrong, self.gamma, alpha=self.gamma)
