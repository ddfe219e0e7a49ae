"""Classification-aware regression loss: the box loss of a positive counts by its class score, and teaches that too."""

import math
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import Activation, Evidence, Samples
from hardmine.core.scores import log_probability_of_label, softmax_cross_entropy
from hardmine.errors import ConfigError, check_name
from hardmine.sampling.base import Sampling

__all__ = ["CARL"]


class CARL(Sampling):
    """Counts a positive's box by the probability of its class, relative to the mean over positives.

        v = ((1 - b) p + b)^k,   c = v / mean(v),   w = base + c

    Cao, Chen, Loy, Lin, Prime Sample Attention in Object Detection, CVPR 2020, arXiv:1904.04821. With a box loss L, the
    gradient reaches the classifier:

        ∂(Σ c L)/∂p_i = n (1 - b) k ((1 - b) p_i + b)^(k-1) / Σv · (L_i - Σ v L / Σ v)

    Descent therefore raises the score of a box that is regressed better than the weighted mean and lowers the others'.

    Convention: for the slot of the box; 0 where not positive. p is the probability of the label's class; the mean is
    over the positives of this rank's batch. With base 1 the ordinary box loss and this one are one sum.
    Gradient: through p and the mean. c = n · softmax(log v), so it is finite where all p underflow.

    Args: k: degree of preference.  bias: b, the least v at k = 1.  base: weight that every positive has besides.
    Raises: ConfigError: an argument out of range, or an unknown activation.
    """

    needs: frozenset[Evidence] = frozenset({"logits", "labels"})
    through_grad = True
    pools_batch = True

    def __init__(self, k: float = 1.0, bias: float = 0.2, base: float = 0.0, activation: Activation = "softmax"):
        super().__init__()
        check_name("activation", activation, get_args(Activation))
        if not k >= 0 or not 0 <= bias <= 1 or not base >= 0:
            raise ConfigError(f"CARL needs k >= 0, bias in [0, 1] and base >= 0, got {k}, {bias}, {base}")
        self.k, self.bias, self.base, self.activation = k, bias, base, activation

    def weigh(self, samples: Samples) -> Tensor:
        logits, positive = samples["logits"], samples.assignment.is_positive
        rest = ~positive
        log_v = self._log_v(at_least_float32(logits).masked_fill(rest.unsqueeze(-1), 0), samples["labels"])
        among = log_v.masked_fill(rest, torch.finfo(log_v.dtype).min)
        relative = positive.sum() * among.flatten().softmax(dim=0).view_as(among)
        return (self.base + relative).masked_fill(rest, 0).to(logits.dtype)

    def _log_v(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Up to a number that is the same for all: it is b that is taken out of the sum in v."""
        if self.activation == "softmax":
            cross_entropy = softmax_cross_entropy(logits, labels)
        else:
            cross_entropy = -log_probability_of_label(logits, labels, "sigmoid")
        if self.bias == 0:
            return -self.k * cross_entropy
        if self.bias == 1:
            return 0 * cross_entropy
        return self.k * F.softplus(torch.rsub(cross_entropy, math.log(1 - self.bias) - math.log(self.bias)))
