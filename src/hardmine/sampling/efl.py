"""Equalized focal loss: each class has its own focusing, the stronger, the rarer it is."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.scores import check_alpha, of_each_class, sigmoid_power
from hardmine.core.slopes import Sloped, held_fixed
from hardmine.errors import ConfigError
from hardmine.sampling.gradient_balanced import GradientBalanced

__all__ = ["EFL"]


class EFL(GradientBalanced):
    """Counts a sample the less, the better it is classified, with a focusing of each class's own; times BCE it is EFL.

        w = α_t (γ_j / γ) (1 - p_t)^γ_j,   γ_j = γ + s (1 - g_j),   g_j = min(1, r_j)

    with r_j the class's ratio of positive to negative gradient so far. Li, Yao, Tan, Zhang, Yu, Lu, Luo, Equalized
    Focal Loss for Dense Long-Tailed Object Detection, CVPR 2022, arXiv:2201.02593. With s = 0 it is the focal loss.

    Convention: for sigmoid heads; w is per (sample, class). Put it before the unweighted cross entropy: the gradient
    that it collects is that of w times cross entropy.
    Gradient: through (1 - p_t), not through γ_j.
    State: see `GradientBalanced`.
    Differs from the authors' code: finite at any logit (there -log p_t and its gradient are not); collects the
    gradient before the division by Z, so that a batch with few positives does not count more than others.

    Args: gamma: focusing of a class in balance.  alpha: weight of positives, negatives get 1 - alpha; None for no
        balance.  scale: s, how much focusing a class out of balance gets on top.
    Raises: ConfigError: an argument out of range.
    """

    through_grad = True

    def __init__(self, num_classes: int, gamma: float = 2.0, alpha: float | None = 0.25, scale: float = 8.0):
        super().__init__(num_classes)
        if not (gamma > 0 and scale >= 0):
            raise ConfigError(f"EFL needs gamma > 0 and scale >= 0, got {gamma}, {scale}")
        check_alpha(alpha)
        self.gamma, self.alpha, self.scale = gamma, alpha, scale

    @property
    def of_class(self) -> Tensor:
        """γ of each class, (C,)."""
        return torch.rsub(self.ratio.clamp_max(1), self.gamma + self.scale, alpha=self.scale)

    def balance(self, of_class: Tensor, logits: Tensor, labels: Tensor) -> Sloped:
        return of_each_class(partial(self._factor, of_class), logits, labels, self.alpha)

    def pull(self, of_class: Tensor, logits: Tensor, labels: Tensor) -> Sloped:
        return of_each_class(partial(_pull, of_class), logits, labels)

    def _factor(self, focusing: Tensor, x: Tensor) -> Sloped:
        """(γ_j / γ) u^γ_j with u = 1 - p_t = sigmoid(x), whose slope is γ_j (1 - u) times itself."""
        wrong = torch.sigmoid(x)
        factor = focusing / self.gamma * sigmoid_power(x, wrong, focusing)
        return factor, lambda: factor * focusing * (1 - wrong)


def _pull(focusing: Tensor, x: Tensor) -> Sloped:
    """The slope of w times the cross entropy ℓ = softplus(x), of which ℓ' = u, over w: u + γ_j (1 - u) ℓ."""
    wrong = torch.sigmoid(x)
    return held_fixed(torch.addcmul(wrong, focusing * (1 - wrong), F.softplus(x)))
