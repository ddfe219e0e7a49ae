"""One sampling for the positives, another for the negatives, and a fixed number of places for both."""

import math

from torch import Tensor

from hardmine.core.rank_in_groups import places_left
from hardmine.core.samples import Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import QuotaSampling, Sampling

__all__ = ["Combined"]


class Combined(Sampling):
    """Counts the positives as one sampling says and the negatives as another, ``num`` of both in each image.

        quota of positives = int(num · positive_fraction),   of negatives = num - positives kept,
        but at most negatives_per_positive · max(1, positives kept) negatives

    So the samplers of two papers are put together: Libra R-CNN's is ``Combined(InstanceBalanced(), IoUBalanced())``,
    PISA's ``Combined(Random(), ScoreHLR())``, MONAI's ``Combined(Random(), HardPool())``.

    Convention: each part sees the samples of its kind only, and its own ``num`` is not read; positives that are
    missing are made up by negatives, never the other way round.
    Gradient: what the parts let through.

    Args: negatives_per_positive: None for no bound (mmdetection's ``neg_pos_ub=-1``).
    Raises: ConfigError: an argument out of range, or parts for different kinds of scores.
    """

    def __init__(
        self,
        positives: QuotaSampling,
        negatives: QuotaSampling,
        num: int = 512,
        positive_fraction: float = 0.25,
        negatives_per_positive: float | None = None,
    ):
        super().__init__()
        _check_places(type(self).__name__, num, positive_fraction, negatives_per_positive)
        self.declare(positives, negatives)
        self.positives, self.negatives = positives, negatives
        self.num, self.positive_fraction, self.budget = num, positive_fraction, num
        self.negatives_per_positive = negatives_per_positive

    def weigh(self, samples: Samples) -> Tensor:
        assignment = samples.assignment
        most = int(self.num * self.positive_fraction)
        quota = assignment.matched_gt.new_full((len(assignment.matched_gt), 1), most)
        positives = self.positives.choose(samples.only(self.positives.needs), assignment.is_positive, quota, most)
        kept, seen = (positives > 0).sum(dim=-1, keepdim=True), samples.only(self.negatives.needs)
        left = places_left(self.num, kept, self.negatives_per_positive)
        return positives + self.negatives.choose(seen, assignment.is_negative, left, self.num)


def _check_places(who: str, num: int, positive_fraction: float, negatives_per_positive: float | None) -> None:
    """Raises: ConfigError: num below 1, a fraction out of [0, 1], or fewer than 0 negatives a positive."""
    has_ratio = negatives_per_positive is None or 0 <= negatives_per_positive < math.inf
    if num < 1 or not 0 <= positive_fraction <= 1 or not has_ratio:
        raise ConfigError(
            f"{who} needs num >= 1, positive_fraction in [0, 1] and negatives_per_positive >= 0 (None: no bound), "
            f"got {num}, {positive_fraction}, {negatives_per_positive}"
        )
