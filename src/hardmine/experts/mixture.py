"""Two models' class distributions as one: a mixture of experts with two experts, one of which is there already.

p = (1 - g) · p_base + g · p_second

Jacobs, Jordan, Nowlan, Hinton, Adaptive Mixtures of Local Experts, Neural Computation 3(1), 1991.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.errors import ConfigError

__all__ = ["SecondModel", "mixed_logits"]

CLOSED = -4.0
"""Where a gate starts, as a logit: a share of 2 %."""


def mixed_logits(base: Tensor, second: Tensor, gate: Tensor) -> Tensor:
    """Logits (n, C) whose softmax is (1 - g) · softmax(base) + g · softmax(second), with g = sigmoid(gate), gate (n,).

    Where g is 0, a gate of -inf, they are the base's own, bit for bit.
    """
    ratio = second.log_softmax(dim=-1) - base.log_softmax(dim=-1)
    gate = gate.unsqueeze(-1)
    return base + torch.logaddexp(F.logsigmoid(-gate), F.logsigmoid(gate) + ratio)


class SecondModel(nn.Module, ABC):
    """What is asked beside a base model: features (n, d) and the base's logits (n, C) in, logits of the mixture out.

    Features are brought to mean 0 and deviation 1 by two buffers, `mean` and `deviation` (d,), which fitting sets.
    `opening` is the gate's linear layer; it starts with weights of 0 and a share of 2 %.

    Args: num_features: d.  num_classes: C, columns of the base's logits.  gate_inputs: what the gate is given.
    Raises: ConfigError: no feature, or fewer than two classes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, num_features: int, num_classes: int, gate_inputs: int):
        super().__init__()
        if num_features < 1 or num_classes < 2:
            raise ConfigError(
                f"{type(self).__name__} needs at least one feature and two classes; got num_features={num_features}, "
                f"num_classes={num_classes}"
            )
        self.num_features, self.num_classes = num_features, num_classes
        self.opening = nn.Linear(gate_inputs, 1)
        nn.init.zeros_(self.opening.weight)
        nn.init.constant_(self.opening.bias, CLOSED)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))

    def scaled(self, features: Tensor) -> Tensor:
        """Features (n, d) with mean 0 and deviation 1."""
        return (features - self.mean) / self.deviation

    @abstractmethod
    def says(self, features: Tensor, base: Tensor) -> Tensor:
        """Logits (n, C) of its own class distribution."""

    @abstractmethod
    def gate(self, features: Tensor, base: Tensor) -> Tensor:
        """(n,): how much it is to be believed, as a logit of its share; -inf: not at all."""

    def share(self, features: Tensor, base: Tensor) -> Tensor:
        """(n,) in [0, 1]: its share of the mixture."""
        return self.gate(features, base).sigmoid()

    def forward(self, features: Tensor, base: Tensor) -> Tensor:
        return mixed_logits(base, self.says(features, base), self.gate(features, base))
