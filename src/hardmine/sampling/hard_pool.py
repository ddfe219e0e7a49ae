"""Random samples out of a pool of hard ones, as in MONAI: hard mining that does not see the same few every time."""

import math

from torch import Tensor

from hardmine.core.rank_in_groups import draw_among, top_among
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import QuotaSampling

__all__ = ["HardPool"]


class HardPool(QuotaSampling):
    """Keeps ``num`` samples of each image at random out of the ``pool`` times as many with the largest loss.

    As MONAI's ``HardNegativeSampler``, there for negatives: ``Combined(Random(), HardPool())``.

    Convention: hard means a large classification loss. A pool of 1 is hard mining, a pool of all is random sampling.
    Differs from MONAI: hard means there a large probability of some foreground class, for softmax heads the same order
    unless two classes compete; and there negatives keep their ratio to the positives that an image has, where
    `Combined` fills all places with them (so that its ``min_neg`` has nothing to do).

    Raises: ConfigError: num or pool below 1, or no finite pool.
    """

    needs: frozenset[Evidence] = frozenset({"classification_loss", "noise"})

    def __init__(self, num: int = 512, pool: float = 10):
        super().__init__(num)
        if not 1 <= pool < math.inf:
            raise ConfigError(f"HardPool needs a finite pool >= 1, got {pool}")
        self.pool = pool

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        loss = samples["classification_loss"]
        hardest = top_among(loss, candidates, (quota * self.pool).long(), int(most * self.pool))
        return draw_among(samples["noise"], hardest, quota, most).to(loss.dtype)
