"""A small head of its own for what the base finds hard."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.errors import ConfigError
from hardmine.experts.mixture import SecondModel

__all__ = ["Expert"]

LEAST = -10.0
"""Log probability below which a class of the base's is no less likely."""


class Expert(SecondModel):
    """A perceptron with one hidden layer on the base's features and what the base says; its gate is logistic on both.

    Of the base it sees the log probabilities, not below -10. Gradient: none through the base's logits as an input, only
    through the mixture.

    Args: num_features: d.  num_classes: C, columns of the base's logits.  hidden: width.
    Raises: ConfigError: a number below 1, or fewer than two classes.
    """

    def __init__(self, num_features: int, num_classes: int, hidden: int = 64):
        super().__init__(num_features, num_classes, num_features + num_classes)
        if hidden < 1:
            raise ConfigError(f"hidden must be at least 1, got {hidden}")
        self.hidden = hidden
        self.first = nn.Linear(num_features + num_classes, hidden)
        self.last = nn.Linear(hidden, num_classes)

    @property
    def options(self) -> dict[str, int | float]:
        """What it was made with."""
        return {"num_features": self.num_features, "num_classes": self.num_classes, "hidden": self.hidden}

    def seen(self, features: Tensor, base: Tensor) -> Tensor:
        """(n, d + C): what the head and the gate are given."""
        return torch.cat([self.scaled(features), base.detach().log_softmax(dim=-1).clamp_min(LEAST)], dim=-1)

    def says(self, features: Tensor, base: Tensor) -> Tensor:
        return self.last(F.relu(self.first(self.seen(features, base))))

    def gate(self, features: Tensor, base: Tensor) -> Tensor:
        return self.opening(self.seen(features, base)).squeeze(-1)
