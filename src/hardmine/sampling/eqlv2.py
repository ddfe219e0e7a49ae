"""Equalization loss v2: for each class, positives count the more and negatives the less, the rarer it is."""

import math

import torch
from torch import Tensor

from hardmine.core.scores import gradient_norm, is_label, of_each_class
from hardmine.core.slopes import Sloped, held_fixed
from hardmine.errors import ConfigError
from hardmine.sampling.gradient_balanced import GradientBalanced

__all__ = ["EQLv2"]


class EQLv2(GradientBalanced):
    """Counts a class's negatives less and its positives more while its negatives have sent more gradient.

        w = 1 + α (1 - f(r))  of a positive,   w = f(r)  of a negative,   f(r) = σ(γ (r - μ))

    with r the class's ratio of positive to negative gradient so far. Tan, Lu, Zhang, Yin, Li, Equalization Loss v2: A
    New Gradient Balance Approach for Long-tailed Object Detection, CVPR 2021, arXiv:2012.08548.

    Convention: for sigmoid heads; w is per (sample, class). The gradient is that of w times BCE, w |σ(z) - t|.
    Gradient: none through w.
    State: see `GradientBalanced`.
    Differs from mmdetection: there is no column for the background (there it is one more class of weight 1), and a
    batch without samples leaves the ratio as it was (there the loss is NaN, and a first such batch makes it 0).

    Args: gamma: slope of f.  mu: ratio at which f is one half.  alpha: how much more positives can count.
    Raises: ConfigError: an argument out of range.
    """

    def __init__(self, num_classes: int, gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0):
        super().__init__(num_classes)
        if not (gamma >= 0 and alpha >= 0 and math.isfinite(mu)):
            raise ConfigError(f"EQLv2 needs gamma >= 0, a finite mu and alpha >= 0, got {gamma}, {mu}, {alpha}")
        self.gamma, self.mu, self.alpha = gamma, mu, alpha

    @property
    def of_class(self) -> Tensor:
        """f(r) of each class, (C,)."""
        return torch.sigmoid(self.gamma * (self.ratio - self.mu))

    def balance(self, of_class: Tensor, logits: Tensor, labels: Tensor) -> Sloped:
        own = is_label(labels, logits.shape[-1]).to(logits.dtype)
        return held_fixed(torch.lerp(of_class, 1 + self.alpha * (1 - of_class), own))

    def pull(self, of_class: Tensor, logits: Tensor, labels: Tensor) -> Sloped:
        return of_each_class(gradient_norm, logits, labels)
