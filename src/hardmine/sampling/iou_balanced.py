"""IoU-balanced sampling of negatives, as in Libra R-CNN: not only the background far from any object."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.rank_in_groups import balanced_priority, draw_among, top_preferred
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import QuotaSampling

__all__ = ["IoUBalanced"]


class IoUBalanced(QuotaSampling):
    """Keeps samples at random, but equally many from each of K equal bins of their IoU with an object.

        chance in bin k = (num / K) · 1 / M_k,    M_k candidates in the bin

    A place that a bin cannot fill goes to any other sample at random. Random sampling takes from the bins as they are
    filled, that is, nearly all from the lowest.
    Pang et al., Libra R-CNN, CVPR 2019, arXiv:1904.02701, section 3; there for negatives: put it into `Combined`.

    Convention: bins divide [0, upper); what lies above is in the last. 512 places are 170 a bin and 2 for any sample.
    With fewer places than bins, each bin has the same chance of one. One bin is random sampling.
    Differs from mmdetection: its bins reach to the image's largest IoU with an object, which a positive has, so
    the upper bins hold no negative (``upper=None`` does so too); and its ``floor_thr`` of -1 becomes 0 in
    the first call, so that from the second on nothing with IoU 0 is taken. Here nothing is remembered.

    Args: upper: IoU up to which the assigner makes negatives.
        floor_iou: where given, samples with a smaller IoU, or none, are no part of the bins: they get
        ``floor_fraction`` of the places and what the bins leave open.
    Raises: ConfigError: an argument out of range.
    """

    needs: frozenset[Evidence] = frozenset({"noise"})

    def __init__(
        self,
        num: int = 512,
        bins: int = 3,
        upper: float | None = 0.5,
        floor_iou: float | None = None,
        floor_fraction: float = 0.0,
    ):
        super().__init__(num)
        if bins < 1 or not 0 <= floor_fraction <= 1 or not 0 <= (floor_iou or 0) < (1 if upper is None else upper) <= 1:
            raise ConfigError(
                f"IoUBalanced needs bins >= 1, 0 <= floor_iou < upper <= 1 (or None) and floor_fraction in [0, 1], "
                f"got {bins}, {floor_iou}, {upper}, {floor_fraction}"
            )
        self.bins, self.upper, self.floor_iou, self.floor_fraction = bins, upper, floor_iou, floor_fraction

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        noise, iou = samples["noise"], at_least_float32(samples.assignment.iou)
        group = self._bin(iou, samples)
        if self.floor_iou is None:
            priority = balanced_priority(noise, candidates, group, quota, self.bins)
            return draw_among(priority, candidates, quota, most).to(noise.dtype)
        is_low = (iou < self.floor_iou) | (iou <= 0)
        in_bins, for_bins = candidates & ~is_low, (quota * (1 - self.floor_fraction)).long()
        priority = balanced_priority(noise, in_bins, group, for_bins, self.bins)
        kept = draw_among(priority, in_bins, for_bins, most)
        left = quota - kept.sum(dim=-1, keepdim=True)
        priority = torch.where(is_low, noise, priority)
        return (kept | top_preferred(priority, candidates & ~kept, is_low, left, most)).to(noise.dtype)

    def _bin(self, iou: Tensor, samples: Samples) -> Tensor:
        """Number of the bin of each sample, (B, N) int64."""
        lower = self.floor_iou or 0.0
        upper = _largest(iou, samples.assignment.is_valid, lower) if self.upper is None else self.upper
        return ((iou - lower if lower else iou) / ((upper - lower) / self.bins)).clamp(0, self.bins - 1).long()


def _largest(iou: Tensor, valid: Tensor, lower: float) -> Tensor:
    """The largest of each image, (B, 1), but above ``lower``."""
    return F.pad(torch.where(valid, iou, 0), (0, 1), value=lower + torch.finfo(iou.dtype).eps).amax(-1, keepdim=True)
