"""Hard negative mining as in SSD: all positives, and three times as many of the hardest negatives."""

import torch
from torch import Tensor

from hardmine.core.rank_in_groups import top_among
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import Sampling

__all__ = ["HardNegative"]


class HardNegative(Sampling):
    """Keeps every positive, and of each image's negatives the ``ratio`` times as many with the largest loss.

    Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, arXiv:1512.02325, section 2.2.

    Convention: hard means a large classification loss, per image.
    Differs from the authors' code and torchvision: an image keeps at least ``min_negatives``, so that one without
    objects still teaches the background (there it teaches nothing; 0 restores that), and a positive is never counted
    twice where the negatives run out.

    Args: budget: where given, the most samples an image keeps; positives come first, hardest first.
    Raises: ConfigError: an argument out of range.
    """

    needs: frozenset[Evidence] = frozenset({"classification_loss"})

    def __init__(self, ratio: float = 3.0, min_negatives: int = 3, budget: int | None = None):
        super().__init__()
        if not ratio >= 0 or min_negatives < 0 or (budget is not None and budget < 1):
            raise ConfigError(
                f"HardNegative needs ratio >= 0, min_negatives >= 0 and budget >= 1 or None, "
                f"got {ratio}, {min_negatives}, {budget}"
            )
        self.ratio, self.min_negatives, self.budget = ratio, min_negatives, budget

    def weigh(self, samples: Samples) -> Tensor:
        assignment, loss = samples.assignment, samples["classification_loss"]
        positives = assignment.is_positive
        if self.budget is not None:
            positives = top_among(loss, positives, self.budget)
        num_positives = positives.sum(dim=-1, keepdim=True)
        quota = (num_positives * self.ratio).clamp_min(self.min_negatives)
        if self.budget is not None:
            quota = torch.minimum(quota, self.budget - num_positives)
        return (positives | top_among(loss, assignment.is_negative, quota, self.budget)).to(loss.dtype)
