"""What ranking losses stand on: how many scores are above each of a few, softly, without an array of all pairs.

H(d) = clamp(d / 2δ + 1/2, 0, 1);   where δ = 0 the hard step, 1 for d >= 0 and else 0
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.samples import IGNORE

__all__ = ["ScorePool", "SoftOrder", "step_at_zero", "sum_above_of_smaller_key"]


class ScorePool:
    """The scores of a batch as one list of positives and one of negatives, in float64, and the way back.

    A positive is a sample with its label's class; every other class of a valid sample is a negative. Shapes are static:
    every sample has a place among the positives, at +inf unless it is one, every score one among the negatives, at -inf
    unless it is one, and nothing is ever above the first or among the second. On a CPU in eager mode, where looking
    costs nothing, only those are kept that matter: the positives, and the negatives not below all of them.

    positives: (P,) ascending.  is_positive: (P,).  num_positives: their number, at least 1.  negatives: (M,).
    """

    def __init__(self, logits: Tensor, labels: Tensor, delta: float):
        positive = labels >= 0
        self._labels = labels.clamp_min(0).unsqueeze(-1)
        scores = torch.where((labels != IGNORE).unsqueeze(-1), logits, -torch.inf).double()
        own = scores.gather(-1, self._labels).squeeze(-1)
        positives = torch.where(positive, own, torch.inf).flatten()
        negatives = scores.scatter(-1, self._labels, torch.where(positive, -torch.inf, own).unsqueeze(-1))
        self._shape, negatives = scores.shape, negatives.flatten()
        rows = torch.arange(len(positives), device=labels.device)[_where_worthwhile(positive.flatten())]
        self._negative_rows = _where_worthwhile(negatives >= positives.amin() - delta)
        self.positives, order = positives[rows].sort()
        self._rows = rows[order]
        self.is_positive = positive.flatten()[self._rows]
        self.num_positives = self.is_positive.sum().clamp_min(1)
        self.negatives = negatives[self._negative_rows]

    @property
    def as_scores(self) -> Tensor:
        """The positives (P,), with a place that is none at -inf, where it is above nothing."""
        return torch.where(self.is_positive, self.positives, -torch.inf)

    def of_positives(self, value: Tensor) -> Tensor:
        """What is said of each sample (B, N), in the order of the positives (P,) and in float64."""
        return torch.where(self.is_positive, value.flatten()[self._rows].double(), 0)

    def to_samples(self, value: Tensor) -> Tensor:
        """What is said of each positive (P,), given back to its sample (B, N); 0 for all others."""
        given = value.new_zeros(self._shape[:-1]).flatten()
        given[self._rows] = torch.where(self.is_positive, value, 0)
        return given.view(self._shape[:-1])

    def to_scores(self, of_positives: Tensor, of_negatives: Tensor) -> Tensor:
        """What is said of each positive (P,) and each negative (M,), given back to its score (B, N, C)."""
        given = of_negatives.new_zeros(self._shape).flatten()
        given[self._negative_rows] = of_negatives
        given = given.view(self._shape)
        return given.scatter_add(-1, self._labels, self.to_samples(of_positives).unsqueeze(-1))


def _where_worthwhile(mask: Tensor) -> Tensor | slice:
    """Indices of a mask on a CPU in eager mode; elsewhere all, because their number would have to be waited for."""
    if mask.device.type != "cpu" or torch.compiler.is_compiling():
        return slice(None)
    return mask.nonzero().squeeze(-1)


def step_at_zero(delta: float) -> float:
    """H(0): how much a score counts as above itself or an equal one."""
    return 1.0 if delta == 0 else 0.5


class SoftOrder:
    """Which of M scores are above each of P centres, softly: H(s_j - p_i), in O((M + P) log P) and memory O(M + P).

    The centres ascend. H rises only between the 2P bounds p_i - δ and p_i + δ, so a score is known by the interval
    between two bounds that it is in and its offset there. Sums over scores are areas under the number of scores above a
    threshold, sums over centres are piecewise linear in the score: both need one prefix sum over the bounds. Areas are
    summed from the top and slopes from the bottom, where the terms are small; widths and offsets beyond 2δ lie outside
    all windows p ± δ and are cut there. So no logit is too large, and float64 leaves P rounding errors of size 1e-16.
    """

    def __init__(self, centres: Tensor, scores: Tensor, delta: float):
        scores, centres = _to_unit_step(scores, centres, delta)
        bounds, self._order = torch.cat([centres - 0.5, centres + 0.5]).sort()
        lower = F.pad(bounds, (1, 0), value=torch.inf)  # (2P + 1,) of each interval; the lowest has nothing to count
        self._interval = torch.searchsorted(bounds, scores)  # (M,)
        self._offset = _cut(scores - lower[self._interval])
        self._width = F.pad(_cut(bounds - lower[:-1]), (0, 1))

    def above(self, weights: Tensor | None = None) -> Tensor:
        """Σ_j w_j H(s_j - p_i), with w_j = 1 where none are given: (M,) -> (P,)."""
        weights = torch.ones_like(self._offset) if weights is None else weights
        inside = torch.zeros_like(self._width).index_add(0, self._interval, weights)
        area = torch.zeros_like(self._width).index_add(0, self._interval, weights * self._offset)
        beyond = F.pad(_from_the_top(inside)[1:], (0, 1))
        area_above = _from_the_top(area + self._width * beyond)[1:]
        lower, upper = torch.empty_like(area_above).scatter(0, self._order, area_above).chunk(2)
        return lower - upper

    def spread(self, shares: Tensor) -> Tensor:
        """Σ_i c_i H(s_j - p_i) for each score: (P,) -> (M,)."""
        slope = F.pad(torch.cat([shares, -shares])[self._order].cumsum(0), (1, 0))
        level = F.pad((slope * self._width).cumsum(0)[:-1], (1, 0))
        return level[self._interval] + slope[self._interval] * self._offset


def _to_unit_step(scores: Tensor, centres: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """Both on a scale where H(d) = clamp(d + 1/2, 0, 1): in units of 2δ, or, for a hard step, as whole numbers.

    These differ by one or more where two scores differ as seen from the centres, which then stand half below them.
    """
    if delta > 0:
        return scores / (2 * delta), centres / (2 * delta)
    places = [
        (torch.searchsorted(centres, values) + torch.searchsorted(centres, values, right=True)).to(values.dtype)
        for values in (scores, centres)
    ]
    return places[0], places[1] - 0.5


def _cut(lengths: Tensor) -> Tensor:
    """Between 0 and the 1 that a window is wide; 0 between two infinities."""
    return lengths.nan_to_num(0, posinf=torch.inf).clamp(0, 1)


def _from_the_top(values: Tensor) -> Tensor:
    return values.flip(0).cumsum(0).flip(0)


def sum_above_of_smaller_key(centres: Tensor, key: Tensor, weights: Tensor, delta: float) -> Tensor:
    """Σ_k w_k H(p_k - p_i) over those k whose key is smaller than that of i: (P,), (P,), (P, Q) -> (P, Q).

    The centres ascend. Those of smaller key are the first T_i by key, and [0, T_i) is one block of 2^l keys for each
    bit l that is set in T_i; in a block sorted by score the sum is a difference of prefix sums. O(P log² P), no P x P.
    """
    place = torch.arange(len(centres), device=centres.device)
    levels, by_key = key.sort()
    rank, smaller = torch.empty_like(by_key).scatter(0, by_key, place), torch.searchsorted(levels, key)
    positions, fraction, shift = _window_ends(*_to_unit_step(centres, centres, delta))
    values = torch.cat([weights, weights * fraction], dim=-1)
    total = torch.zeros_like(weights)
    for bit in range(len(centres).bit_length()):
        blocks, order = ((rank >> bit) * (len(centres) + 1) + place).sort()
        sums = F.pad(values[order].cumsum(0), (0, 0, 1, 0))
        block = (smaller >> bit) - 1
        start, stop, middle, end = sums[torch.searchsorted(blocks, block * (len(centres) + 1) + positions)]
        rising, flat = (stop - start).chunk(2, dim=-1), (end - middle).chunk(2, dim=-1)
        is_set = (smaller >> bit & 1).bool().unsqueeze(-1)
        total = total + torch.where(is_set, rising[1] + shift * rising[0] + flat[0], 0)
    return total


def _window_ends(scores: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With W and F the sums of w and of w times the fraction of s, which stay small whatever s:

        Σ_k w_k H(s_k - p_i) = (F + shift_i W) from start to stop + W from middle to end

    as a window p ± 1/2 has a whole number in it once, at ``middle``.
    -> positions of start, stop, middle and end (4, P), fraction (P, 1), shift (P, 1)
    """
    first_cell = (centres - 0.5).floor()
    edges = (centres - 0.5, centres + 0.5, first_cell + 1)
    positions = [torch.searchsorted(scores, edge) for edge in edges]
    positions = torch.stack([*positions, torch.full_like(positions[0], len(scores))])
    fraction, shift = scores - scores.floor(), first_cell - centres + 0.5
    return positions, fraction.nan_to_num(0).unsqueeze(-1), shift.nan_to_num(0).unsqueeze(-1)
