"""Random sampling with a fixed share of positives: what every two-stage detector does by default."""

from torch import Tensor

from hardmine.errors import ConfigError
from hardmine.ranking import top_balanced
from hardmine.samples import Evidence, Samples
from hardmine.sampling.base import Sampling

__all__ = ["RandomBalanced"]


class RandomBalanced(Sampling):
    """Keeps ``num`` samples of each image at random, at most ``positive_fraction`` of them positive.

    Ren et al., Faster R-CNN, NeurIPS 2015, arXiv:1506.01497: 256 anchors at 1:1 for the RPN; Girshick, Fast R-CNN,
    ICCV 2015, arXiv:1504.08083: 25 % positives for the head (512 proposals in today's frameworks).

    Convention: positives that are missing are made up by negatives, never the other way round, as in torchvision.

    Raises: ConfigError: num below 1, or positive_fraction out of [0, 1].
    """

    needs: frozenset[Evidence] = frozenset({"noise"})

    def __init__(self, num: int = 512, positive_fraction: float = 0.25):
        super().__init__()
        if num < 1 or not 0 <= positive_fraction <= 1:
            raise ConfigError(
                f"RandomBalanced needs num >= 1 and positive_fraction in [0, 1], got {num}, {positive_fraction}"
            )
        self.num, self.positive_fraction, self.budget = num, positive_fraction, num

    def weigh(self, samples: Samples) -> Tensor:
        noise = samples["noise"]
        return top_balanced(noise, samples.assignment, self.num, self.positive_fraction).to(noise.dtype)
