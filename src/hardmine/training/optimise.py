"""The optimisation: AdamW, a warm-up and a cosine, and optionally averaged weights.

The learning rate is a function of the step alone and is set before each step; there is no scheduler whose state could
be lost.
"""

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from hardmine.training.config import TrainingConfig

__all__ = ["averaged_weights", "learning_rate", "optimizer_for", "set_learning_rate"]


def optimizer_for(detector: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; matrices and kernels are decayed, biases and normalisation are not."""
    trainable = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.peak_lr)


def learning_rate(config: TrainingConfig, step: int, num_steps: int) -> float:
    """The rate of step 0 .. num_steps - 1: linear up to the peak, then along half a cosine to almost nothing."""
    warmup = config.warmup_fraction * num_steps
    if step < warmup:
        return config.peak_lr * (step + 1) / (warmup + 1)
    return config.peak_lr * (1 + math.cos(math.pi * (step - warmup) / (num_steps - warmup))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def averaged_weights(detector: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a detector's weights, to be updated after each step.

    A fixed decay near 1 would keep the random initial weights for a whole short training; after n updates the decay is
    therefore at most (1 + n) / (10 + n).
    """

    def average(averages: PARAM_LIST, currents: PARAM_LIST, num_updates: Tensor | int) -> None:
        n = int(num_updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, currents, n)

    return AveragedModel(detector, multi_avg_fn=average)
