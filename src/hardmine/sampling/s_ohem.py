"""Stratified OHEM: hard examples of every kind, whether their class or their box is wrong."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.rank_in_groups import rank_in_groups, rising, top_preferred
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import QuotaSampling

__all__ = ["SOHEM"]


class SOHEM(QuotaSampling):
    """Keeps the hardest samples of each stratum, where a stratum is how much of a loss comes from the class.

        r = ℓ_cls / (ℓ_cls + ℓ_loc),   keep the top ``shares[s]`` · num by ℓ_cls + ℓ_loc   of  {i: r_i in stratum s}

    A place that a stratum cannot fill goes to the hardest sample of any other. One stratum is OHEM without its NMS.
    Li et al., S-OHEM: Stratified Online Hard Example Mining for Object Detection, CCCV 2017, arXiv:1705.02233.

    Convention: a negative has no box loss, so r = 1 and it is in the last stratum; r = 0 where both losses are 0.
    Differs from the paper: that there are four strata by the ratio of the two losses, and that their quotas change
    during training, is all that we know; the edges, the equal shares and that these stay are our choice.

    Args: edges: of r between the strata, ascending in (0, 1).  shares: of the places, one a stratum, at most 1 in all.
    Raises: ConfigError: an argument out of range, or not one share more than edges.
    """

    edges: Tensor
    shares: Tensor
    needs: frozenset[Evidence] = frozenset({"classification_loss", "regression_loss"})

    def __init__(
        self,
        num: int = 64,
        edges: Sequence[float] = (0.25, 0.5, 0.75),
        shares: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
    ):
        super().__init__(num)
        if not all(first < second for first, second in pairwise((0, *edges, 1))):
            raise ConfigError(f"SOHEM needs ascending edges in (0, 1), got {tuple(edges)}")
        if len(shares) != len(edges) + 1 or not (min(shares) >= 0 and sum(shares) <= 1 + 1e-9):
            raise ConfigError(
                f"SOHEM needs one share more than edges, each >= 0 and with sum at most 1, "
                f"got {tuple(shares)} for {len(edges)} edges"
            )
        self.register_buffer("edges", torch.tensor(edges, dtype=torch.float64), persistent=False)
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float64), persistent=False)

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        classification = samples["classification_loss"]
        part = at_least_float32(classification)
        total = part + at_least_float32(samples["regression_loss"])
        ratio = part / total.clamp_min(torch.finfo(total.dtype).tiny)
        stratum = (ratio.unsqueeze(-1) >= self.edges).sum(dim=-1)
        places = self.shares * quota + 1e-6  # (B, strata); .1 · 30 is 3
        key, num = rising(total), len(self.shares)
        rank = rank_in_groups(key, torch.add(stratum, candidates, alpha=num))  # who is no candidate has strata apart
        is_first = rank + 1 <= places.gather(-1, stratum)
        return top_preferred(key, candidates, is_first, quota, most).to(classification.dtype)
