"""Prior initialisation: start by calling almost everything background."""

import math

import torch
from torch import nn

from hardmine.core.samples import Activation
from hardmine.errors import ConfigError

__all__ = ["initialize_prior"]


@torch.no_grad()
def initialize_prior(
    layer: nn.Conv2d | nn.Linear,
    num_outputs: int,
    activation: Activation,
    prior: float = 0.01,
    background: int | None = None,
) -> None:
    """Sets the bias of a classification layer so that every class starts with probability ``prior``.

        sigmoid: b = -log((1 - π) / π);   softmax over C + 1: b = 0, and of background log(C (1 - π) / π)

    Without it the many negatives of a dense head make the first steps diverge. Lin et al., Focal Loss, ICCV 2017,
    arXiv:1708.02002, section 4.1; for softmax, π is the probability of all foreground classes together.

    Args: num_outputs: scores an anchor has; the layer's outputs are anchor-major.  background: its column (softmax).
    Raises: ConfigError: no bias, a size that does not fit, prior out of (0, 1), or softmax without background.
    """
    if not 0 < prior < 1:
        raise ConfigError(f"prior must be in (0, 1), got {prior}")
    if layer.bias is None or layer.bias.numel() % num_outputs:
        size = None if layer.bias is None else layer.bias.numel()
        raise ConfigError(f"expected a layer with a bias of a multiple of {num_outputs} numbers, got {size}")
    if (activation == "softmax") != (background is not None):
        raise ConfigError("name the background column of a softmax head, and of no other")
    per_anchor = layer.bias.view(-1, num_outputs)
    if background is None:
        per_anchor.fill_(-math.log((1 - prior) / prior))
    else:
        per_anchor.zero_()
        per_anchor[:, background] = math.log((num_outputs - 1) * (1 - prior) / prior)
