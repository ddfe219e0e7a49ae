"""One sampling for the positives, another for the negatives, and a fixed number of places for both."""

from torch import Tensor

from hardmine.core.samples import Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import QuotaSampling, Sampling

__all__ = ["Combined"]


class Combined(Sampling):
    """Counts the positives as one sampling says and the negatives as another, ``num`` of both in each image.

        quota of positives = int(num · positive_fraction),   of negatives = num - positives kept

    So the samplers of two papers are put together: Libra R-CNN's is ``Combined(InstanceBalanced(), IoUBalanced())``,
    PISA's ``Combined(Random(), ScoreHLR())``, MONAI's ``Combined(Random(), HardPool())``.

    Convention: each part sees the samples of its kind only, and its own ``num`` is not read; positives that are
    missing are made up by negatives, never the other way round.
    Gradient: what the parts let through.

    Raises: ConfigError: num below 1, positive_fraction out of [0, 1], or parts for different kinds of scores.
    """

    def __init__(
        self, positives: QuotaSampling, negatives: QuotaSampling, num: int = 512, positive_fraction: float = 0.25
    ):
        super().__init__()
        if num < 1 or not 0 <= positive_fraction <= 1:
            raise ConfigError(
                f"{type(self).__name__} needs num >= 1 and positive_fraction in [0, 1], got {num}, {positive_fraction}"
            )
        self.declare(positives, negatives)
        self.positives, self.negatives = positives, negatives
        self.num, self.positive_fraction, self.budget = num, positive_fraction, num

    def weigh(self, samples: Samples) -> Tensor:
        assignment = samples.assignment
        most = int(self.num * self.positive_fraction)
        quota = assignment.matched_gt.new_full((len(assignment.matched_gt), 1), most)
        positives = self.positives.choose(samples.only(self.positives.needs), assignment.is_positive, quota, most)
        left, seen = self.num - (positives > 0).sum(dim=-1, keepdim=True), samples.only(self.negatives.needs)
        return positives + self.negatives.choose(seen, assignment.is_negative, left, self.num)
