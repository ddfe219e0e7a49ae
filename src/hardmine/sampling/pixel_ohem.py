"""OHEM for pixels, as segmentation trains: everything that is not sure of its class, and never too little."""

import math

from torch import Tensor

from hardmine.core.rank_in_groups import top_among
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import Sampling

__all__ = ["PixelOHEM"]


class PixelOHEM(Sampling):
    """Keeps the samples whose true class is less likely than ``threshold``, and at least the ``min_kept`` hardest.

        p = exp(-ℓ),   keep {p < threshold}  and the top min_kept · B of the batch by ℓ

    A sample is a pixel here, N = H · W. p is the probability of the true class where ℓ is the cross-entropy of a
    softmax. With ``threshold=None`` exactly the top min_kept · B are kept.
    The segmentation code bases' OHEM; mmsegmentation's defaults.

    Convention: ``min_kept`` is per image, but all images of the batch are one contest. Averages are over what is kept
    (`PerSampled`), or easy images are scaled down to nothing.
    Differs from mmsegmentation: there the ``min_kept`` come in as p < p_(k), the k-th smallest, which with equal
    probabilities keeps fewer, even none, and with fewer pixels than ``min_kept`` drops the easiest.
    Where others' code gives NaN, nothing to keep, all weights are 0.

    Raises: ConfigError: min_kept below 0, threshold out of (0, 1], or min_kept 0 without a threshold.
    """

    needs: frozenset[Evidence] = frozenset({"classification_loss"})
    pools_batch = True

    def __init__(self, min_kept: int = 100_000, threshold: float | None = 0.7):
        super().__init__()
        if min_kept < (threshold is None) or (threshold is not None and not 0 < threshold <= 1):
            raise ConfigError(
                f"PixelOHEM needs min_kept >= 0, or >= 1 without a threshold, and threshold in (0, 1] or None, "
                f"got {min_kept}, {threshold}"
            )
        self.min_kept, self.threshold = min_kept, threshold

    def weigh(self, samples: Samples) -> Tensor:
        loss, valid = samples["classification_loss"], samples.assignment.is_valid
        quota = self.min_kept * len(loss)
        kept = top_among(loss.reshape(1, -1), valid.reshape(1, -1), quota).view_as(valid)
        if self.threshold is not None:
            kept = kept | (loss > -math.log(self.threshold))
        return kept.to(loss.dtype)
