"""Class-balanced weights: a class counts by its effective number of samples."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.counting import count_over_ranks
from hardmine.core.samples import Evidence, Samples
from hardmine.core.scores import column_of_label
from hardmine.core.state import snapshot
from hardmine.errors import ConfigError
from hardmine.sampling.base import Sampling

__all__ = ["ClassBalanced", "count_labels"]


def count_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Number of samples, over all ranks, with each of the labels 0..num_classes-1: (num_classes,) int64."""
    return count_over_ranks(column_of_label(labels, num_classes + 1), num_classes)


class ClassBalanced(Sampling):
    """Counts a positive inversely to the effective number of samples of its class.

        w_c ∝ (1 - β) / (1 - β^n_c),   with mean 1 over the classes

    β = 0 counts all classes alike, β towards 1 by 1/n_c. Cui, Jia, Lin, Song, Belongie, Class-Balanced Loss Based on
    Effective Number of Samples, CVPR 2019, arXiv:1901.05555.

    Convention: w is per sample. The background weighs 1: the paper has none, and its number has no bound. A class that
    was not seen counts as one with a single sample.
    Gradient: none through w.
    State: ``counts``, of each class. Where they are not given, these are the positives of all earlier calls in
    training, over all ranks; the first call weighs all classes alike.

    Args: counts: samples of each class, if known; counted while training if None.  beta: in [0, 1).
    Raises: ConfigError: an argument out of range, or another number of counts than classes.
    """

    needs: frozenset[Evidence] = frozenset({"labels"})
    counts: Tensor

    def __init__(self, num_classes: int, beta: float = 0.999, counts: Sequence[int] | None = None):
        super().__init__()
        if num_classes < 1 or not 0 <= beta < 1:
            raise ConfigError(f"ClassBalanced needs num_classes >= 1 and beta in [0, 1), got {num_classes}, {beta}")
        if counts is not None and (len(counts) != num_classes or min(counts) < 0):
            raise ConfigError(f"ClassBalanced needs {num_classes} counts of 0 or more, got {list(counts)}")
        self.beta, self.is_counting = beta, counts is None
        self.register_buffer("counts", torch.tensor([0] * num_classes if counts is None else list(counts)))

    @property
    def class_weights(self) -> Tensor:
        """Weight of each class, (C,) with mean 1."""
        log_beta = math.log(self.beta) if self.beta > 0 else -math.inf
        # 1 - β^n without the cancellation at β near 1; in float64, because float32 is not exact beyond 2^24
        relative = torch.expm1(snapshot(self.counts).clamp_min(1).double() * log_beta).reciprocal()
        return relative / relative.mean()

    def weigh(self, samples: Samples) -> Tensor:
        num_classes = len(self.counts)
        column = column_of_label(samples["labels"], num_classes + 1)
        of_class = self.class_weights.to(samples.assignment.iou.dtype)
        weights = F.pad(of_class, (0, 1), value=1)  # the background's is the last
        if self.training and self.is_counting:
            self.counts += count_over_ranks(column, num_classes)
        return weights[column]
