"""Random sampling, and with a fixed share of positives: what every two-stage detector does by default."""

from torch import Tensor

from hardmine.core.rank_in_groups import draw_among
from hardmine.core.samples import Evidence, Samples
from hardmine.sampling.base import QuotaSampling
from hardmine.sampling.combined import Combined

__all__ = ["Random", "RandomBalanced"]


class Random(QuotaSampling):
    """Keeps ``num`` samples of each image at random, every one with the same chance.

    Convention: those with the largest noise.

    Raises: ConfigError: num below 1.
    """

    needs: frozenset[Evidence] = frozenset({"noise"})

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        noise = samples["noise"]
        return draw_among(noise, candidates, quota, most).to(noise.dtype)


class RandomBalanced(Combined):
    """Keeps ``num`` samples of each image at random, at most ``positive_fraction`` of them positive.

    Ren et al., Faster R-CNN, NeurIPS 2015, arXiv:1506.01497: 256 anchors at 1:1 for the RPN; Girshick, Fast R-CNN,
    ICCV 2015, arXiv:1504.08083: 25 % positives for the head (512 proposals in today's frameworks).

    Convention: positives that are missing are made up by negatives, never the other way round, as in torchvision.

    Args: negatives_per_positive: where given, at most that many negatives for each positive kept, see `Combined`.
    Raises: ConfigError: an argument out of range.
    """

    def __init__(self, num: int = 512, positive_fraction: float = 0.25, negatives_per_positive: float | None = None):
        super().__init__(Random(), Random(), num, positive_fraction, negatives_per_positive)
