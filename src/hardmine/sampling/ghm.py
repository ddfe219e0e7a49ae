"""Gradient harmonizing: a sample counts inversely to how many samples pull as hard as it does.

Li, Liu, Wang, Gradient Harmonized Single-stage Detector, AAAI 2019, arXiv:1811.05181. `GHMC` for the class, `GHMR` for
the box; both weigh by the density of gradient norms, GD, over samples whose norm g lies in [0, 1]:

    β = N / GD(g)        exact:    GD(g) = #{k: g - ε/2 <= g_k < g + ε/2} / (min(g + ε/2, 1) - max(g - ε/2, 0))
                         regions:  GD(g) = M · R[bin(g)],  R[j] = #{k: bin(g_k) = j},  ε = 1/M

Were all norms equally frequent, every β would be 1.
"""

from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.blocks import by_blocks
from hardmine.core.boxes import at_least_float32
from hardmine.core.counting import count_over_ranks
from hardmine.core.planes import sees_only_valid
from hardmine.core.samples import IGNORE, Activation, Evidence, Samples
from hardmine.core.scores import gradient_norm, log_probability_of_label, of_each_class
from hardmine.core.state import snapshot
from hardmine.errors import ConfigError, check_name
from hardmine.sampling.base import Sampling

__all__ = ["GHMC", "GHMR"]

Over = Literal["all", "non-empty"]
Density = Literal["regions", "exact"]


class _Harmonized(Sampling):
    """β of gradient norms. The running R is kept as a moving average and the weight of all that went into it."""

    pools_batch = True
    histogram: Tensor
    seen: Tensor

    def __init__(self, bins: int, momentum: float, over: Over, density: Density):
        super().__init__()
        _check(type(self).__name__, bins, momentum, over, density)
        self.bins, self.momentum, self.over, self.density = bins, momentum, over, density
        self.register_buffer("histogram", torch.zeros(bins))
        self.register_buffer("seen", torch.zeros(()))

    def harmonize(self, norm: Tensor, left_out: Tensor, dtype: torch.dtype) -> Tensor:
        """β, 0 where left out, in the dtype, given norms of the same shape."""
        if self.density == "exact":
            beta = _by_neighbours(norm, ~left_out, self.bins).masked_fill(left_out, 0)
            return _in_dtype(beta, dtype)
        place = (norm * self.bins).int().clamp(0, self.bins - 1)  # the last bin includes g = 1; some bin has NaN
        place = place.masked_fill(left_out, self.bins)
        beta = self._of_regions(count_over_ranks(place, self.bins).to(norm.dtype))
        return F.pad(_in_dtype(beta, dtype), (0, 1))[place]

    def _of_regions(self, counts: Tensor) -> Tensor:
        """β of each bin, (M,)."""
        regions, total = self.bins if self.over == "all" else (counts > 0).sum(), counts.sum()
        return total / (regions * self._running(counts, total))

    def _running(self, counts: Tensor, total: Tensor) -> Tensor:
        """R with what is remembered of earlier batches; a batch where nothing counts is not remembered."""
        if self.momentum == 0:
            return counts
        share = total.clamp_max(1 - self.momentum)  # 0 where nothing counts
        histogram = torch.lerp(snapshot(self.histogram).to(counts.dtype), counts, share)
        seen = torch.lerp(snapshot(self.seen).to(counts.dtype), torch.ones_like(share), share)
        if self.training:
            self.histogram.copy_(histogram)
            self.seen.copy_(seen)
        return histogram / seen


class GHMC(_Harmonized):
    """Counts a class of a sample inversely to how many others have its gradient norm.

        g = |sigmoid(z) - t|,   w = N / (M · R[bin(g)])

    Li, Liu, Wang, Gradient Harmonized Single-stage Detector, AAAI 2019, arXiv:1811.05181. Very hard samples, which
    are many late in training, are taken for outliers and count less, unlike in focal loss or OHEM.

    Convention: N and R count every class of every sample that is not ignored; the loss goes with `PerValid`. For
    softmax heads, which the paper does not have, and for pixels, g = 1 - p of the label, one a sample.
    Gradient: none through w.
    State: R, one float a bin, an exponential moving average over batches, summed over ranks and bias-corrected, so that
    the first batch is weighed by itself. Outside training a batch is blended in alike but not remembered. A batch where
    all is ignored is passed over. Keep the state in float32: counts overflow float16.
    Differs from mmdetection, the authors' code: it divides by the bins that are not empty where the paper divides by M
    (``over="non-empty"``); its average starts at 0, uncorrected, lets empty bins keep their count, and counts each
    rank alone; and its heads call it once for each level of the pyramid, with one average for all of them.

    Args: bins: number M of equal regions of g.  momentum: share of the old R kept each step.  over: what GD is
        multiplied by, all M bins or those of this batch that are not empty.
        density: "exact" counts each sample's neighbours within ε = 1/M instead, by sorting; it knows this rank's batch
        only, so it takes momentum 0.
    Raises: ConfigError: an argument out of range, an unknown choice, or "exact" together with momentum or "non-empty".
    """

    needs: frozenset[Evidence] = frozenset({"logits", "labels"})

    def __init__(
        self,
        bins: int = 30,
        momentum: float = 0.75,
        over: Over = "all",
        density: Density = "regions",
        activation: Activation = "sigmoid",
    ):
        super().__init__(bins, momentum, over, density)
        check_name("activation", activation, get_args(Activation))
        self.activation = activation

    def weigh(self, samples: Samples) -> Tensor:
        logits, labels, ignored = samples["logits"], samples["labels"], samples.assignment.matched_gt == IGNORE
        raised = at_least_float32(logits)
        if self.activation == "softmax":
            raised = raised if sees_only_valid(raised) else raised.masked_fill(ignored.unsqueeze(-1), 0)
            norm = -torch.expm1(log_probability_of_label(raised, labels, "softmax"))
        else:
            norm, ignored = by_blocks(partial(of_each_class, gradient_norm), raised, labels), ignored.unsqueeze(-1)
        return self.harmonize(norm, ignored.expand_as(norm), logits.dtype)


class GHMR(_Harmonized):
    """Counts each of the four numbers of a positive's box code inversely to how many others pull as hard.

        d = predicted - target,   g = |d| / √(d² + μ²),   w = N / (M · R[bin(g)])

    Li, Liu, Wang, Gradient Harmonized Single-stage Detector, AAAI 2019, arXiv:1811.05181. g is the gradient norm of the
    loss that goes with it, `ASL1` of the same μ; smooth L1 has one norm for all large errors.

    Convention: weights are (B, N, 4), 0 where not positive; N and R count the four numbers of every positive.
    Gradient: none through w.  State, arguments and differences: as `GHMC`.

    Args: mu: error in code units around which g goes from 0 to 1.
    Raises: ConfigError: as `GHMC`, or mu not above 0.
    """

    needs: frozenset[Evidence] = frozenset({"code_error"})

    def __init__(
        self,
        mu: float = 0.02,
        bins: int = 10,
        momentum: float = 0.7,
        over: Over = "all",
        density: Density = "regions",
    ):
        super().__init__(bins, momentum, over, density)
        if not mu > 0:
            raise ConfigError(f"GHMR needs mu > 0, got {mu}")
        self.mu = mu

    def weigh(self, samples: Samples) -> Tensor:
        error, rest = samples["code_error"], (samples.assignment.matched_gt < 0).unsqueeze(-1)
        distance = at_least_float32(error).masked_fill(rest, 0).abs()
        norm = distance / torch.hypot(distance, torch.full_like(distance[:1, :1, :1], self.mu))
        return self.harmonize(norm, rest.expand_as(norm), error.dtype)


def _in_dtype(beta: Tensor, dtype: torch.dtype) -> Tensor:
    """What is too large for half precision is its largest number."""
    return beta if beta.dtype == dtype else beta.clamp_max(torch.finfo(dtype).max).to(dtype)


def _by_neighbours(norm: Tensor, counted: Tensor, bins: int) -> Tensor:
    """β by the exact density: the neighbours of each are a stretch of the sorted norms."""
    half = 0.5 / bins
    norms = torch.where(counted, norm, torch.inf).flatten().sort().values
    neighbours = torch.searchsorted(norms, norm + half) - torch.searchsorted(norms, norm - half)
    length = (norm + half).clamp_max(1) - (norm - half).clamp_min(0)
    return counted.sum() * length / neighbours.clamp_min(1)


def _check(method: str, bins: int, momentum: float, over: str, density: str) -> None:
    check_name("over", over, get_args(Over))
    check_name("density", density, get_args(Density))
    if bins < 1 or not 0 <= momentum < 1:
        raise ConfigError(f"{method} needs bins >= 1 and momentum in [0, 1), got {bins}, {momentum}")
    if density == "exact" and (momentum > 0 or over != "all"):
        raise ConfigError(
            f"{method} keeps no bins with density='exact'; use momentum=0 and over='all', got {momentum}, {over!r}"
        )
