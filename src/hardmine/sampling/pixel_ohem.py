"""OHEM for pixels, as segmentation trains: everything that is not sure of its class, and never too little."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from hardmine.core.rank_in_groups import looking_is_free, top_among
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError, check_name
from hardmine.sampling.base import Sampling

__all__ = ["PixelOHEM"]

Per = Literal["image", "batch"]
FractionOf = Literal["valid", "all"]


class PixelOHEM(Sampling):
    """Keeps the samples whose true class is less likely than ``threshold``, and at least the k hardest of the batch.

        p = exp(-ℓ),   keep {p < threshold}  and the top k by ℓ          k = min_kept · B, or min_kept, or a share

    A sample is a pixel here, N = H · W. p is the probability of the true class where ℓ is the cross-entropy of a
    softmax. With ``threshold=None`` exactly the top k are kept. Without arguments: mmsegmentation's defaults.

    | form                      | keeps                                  | k                                     |
    |---------------------------|----------------------------------------|---------------------------------------|
    | `PixelOHEM()`             | {p < t} and the top k                  | min_kept · B                          |
    | `PixelOHEM.mmseg()`       | {p < max(t, p_(k))}; t None: the top k | min_kept · B                          |
    | `PixelOHEM.hrnet()`       | {p < max(t, p_(k))}                    | min_kept                              |
    | `PixelOHEM.bisenet()`     | {ℓ > -ln t} and the top k              | 1/16 of the pixels that are not ignored |
    | `PixelOHEM.deeplab()`     | the top k                              | 20 % of all pixels, ignored ones too  |

    p_(k) is the probability that k others are below, or the largest where there are no more than k pixels: ``strict``.
    It keeps none of the pixels that tie with it, even none at all where every pixel is equally sure, and loses the
    easiest of k pixels or fewer; without it k are kept whenever there are so many.

    Convention: all images of the batch are one contest. Averages are over what is kept (`PerSampled`), or easy images
    are scaled down to nothing; so do HRNet, BiSeNet and DeepLab. mmsegmentation divides by all pixels, kept or not.
    Where others' code gives NaN, nothing to keep, all weights are 0.
    Differs from DeepLab's code where more than 80 % of the pixels are ignored: it fills up k with their losses of 0,
    here as many are averaged over as are kept. From mmsegmentation's and HRNet's by ties: they compare p, which rounds
    to 1, here ℓ is compared, which does not.

    Args: per: what ``min_kept`` is a number of.  min_fraction: k as a share of the pixels instead, rounded down, but
        at least one pixel.
        fraction_of: of those that are not ignored, or of all.  strict: see above.
    Raises: ConfigError: min_kept below 0, threshold or min_fraction out of (0, 1], a strict form without a threshold,
        an unknown choice, or neither a threshold nor anything to keep at least.
    """

    needs: frozenset[Evidence] = frozenset({"classification_loss"})
    pools_batch = True

    def __init__(
        self,
        min_kept: int = 100_000,
        threshold: float | None = 0.7,
        *,
        per: Per = "image",
        min_fraction: float | None = None,
        fraction_of: FractionOf = "valid",
        strict: bool = False,
    ):
        super().__init__()
        _check(min_kept, threshold, min_fraction, strict)
        check_name("per", per, get_args(Per))
        check_name("fraction_of", fraction_of, get_args(FractionOf))
        self.min_kept, self.threshold, self.per = min_kept, threshold, per
        self.min_fraction, self.fraction_of, self.strict = min_fraction, fraction_of, strict

    @classmethod
    def mmseg(cls, min_kept: int = 100_000, threshold: float | None = 0.7) -> "PixelOHEM":
        """mmsegmentation's OHEMPixelSampler."""
        return cls(min_kept, threshold, strict=threshold is not None)

    @classmethod
    def hrnet(cls, min_kept: int = 100_000, threshold: float = 0.7) -> "PixelOHEM":
        """OhemCrossEntropy of HRNet's segmentation; its configurations have 131,072 and .9."""
        return cls(min_kept, threshold, per="batch", strict=True)

    @classmethod
    def bisenet(cls, threshold: float = 0.7, min_fraction: float = 1 / 16) -> "PixelOHEM":
        """OhemCELoss of the BiSeNet code base of CoinCheung."""
        return cls(threshold=threshold, min_fraction=min_fraction)

    @classmethod
    def deeplab(cls, top_fraction: float = 0.2) -> "PixelOHEM":
        """DeepLabCE of detectron2; 1.0 is plain cross entropy."""
        return cls(threshold=None, min_fraction=top_fraction, fraction_of="all")

    def weigh(self, samples: Samples) -> Tensor:
        loss, valid = samples["classification_loss"], samples.assignment.is_valid
        quota = self._quota(valid)
        row, among = loss.reshape(1, -1), valid.reshape(1, -1)
        kept = self._below_kth(row, among, quota) if self.strict else self._at_least(row, among, quota)
        return kept.view_as(valid).to(loss.dtype)

    def _quota(self, valid: Tensor) -> int | Tensor:
        """k, a number or (1, 1)."""
        if self.min_fraction is None:
            return self.min_kept * (len(valid) if self.per == "image" else 1)
        if self.fraction_of == "all":
            return max(1, int(self.min_fraction * valid.numel()))
        return (valid.sum().double() * self.min_fraction).long().clamp_min(1).view(1, 1)

    def _at_least(self, loss: Tensor, valid: Tensor, quota: int | Tensor) -> Tensor:
        if self.threshold is None:
            return top_among(loss, valid, quota)
        hard = loss > -math.log(self.threshold)
        if looking_is_free(loss) and (hard & valid).sum() >= quota:  # the top k are among them
            return hard
        return top_among(loss, valid, quota) | hard

    def _below_kth(self, loss: Tensor, valid: Tensor, quota: int | Tensor) -> Tensor:
        bar = -math.log(self.threshold or 1)
        free = looking_is_free(loss)
        if loss.numel() == 0 or (free and ((loss > bar) & valid).sum() > quota):  # so is the one after the k hardest
            return loss > bar
        beyond = top_among(loss, valid, quota + 1)  # the k hardest and the next, or all
        kth = loss.masked_fill(~beyond, torch.inf).amin(dim=-1, keepdim=True)
        return loss > kth.clamp_max(bar)


def _check(min_kept: int, threshold: float | None, min_fraction: float | None, strict: bool) -> None:
    keeps_none = threshold is None and min_fraction is None and min_kept < 1
    out_of_range = any(share is not None and not 0 < share <= 1 for share in (threshold, min_fraction))
    if min_kept < 0 or keeps_none or out_of_range or (strict and threshold is None):
        raise ConfigError(
            f"PixelOHEM needs min_kept >= 0, or >= 1 without a threshold, and threshold and min_fraction in (0, 1] or "
            f"None, strict only with a threshold, got {min_kept}, {threshold}, {min_fraction}, {strict}"
        )
