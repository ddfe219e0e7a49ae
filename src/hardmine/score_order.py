"""What ranking losses stand on: how many scores are above each of a few, softly, without an array of all pairs.

H(d) = clamp(d / 2δ + 1/2, 0, 1);   where δ = 0 the hard step, 1 for d >= 0 and else 0
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.samples import IGNORE

__all__ = ["ScorePool", "SoftOrder", "Windows", "step_at_zero", "sum_above_of_smaller_key"]

NUMBERS_AT_A_TIME = {"cpu": 1 << 16}
"""Numbers of a block sum that are dealt with at once on a kind of device: what its cache holds."""
LAUNCHES_PAY = 1 << 22
"""The same on all other devices: as `assign.base` says of pairs, but each is a dozen numbers of 8 bytes here."""


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
        scores = logits.masked_fill((labels == IGNORE).unsqueeze(-1), -torch.inf)
        own = scores.gather(-1, self._labels).squeeze(-1)
        positives = own.masked_fill(~positive, torch.inf).flatten()
        negatives = scores.scatter(-1, self._labels, own.masked_fill(positive, -torch.inf).unsqueeze(-1)).flatten()
        self._shape, self._negative_rows = scores.shape, None
        if _looking_is_free(labels):
            rows = positive.flatten().nonzero().squeeze(-1)
            self._negative_rows = (negatives.double() >= positives.amin().double() - delta).nonzero().squeeze(-1)
            positives, order = positives[rows].sort()
            self._rows, negatives = rows[order], negatives[self._negative_rows]
        else:
            positives, self._rows = positives.sort()
        self.positives, self.negatives = positives.double(), negatives.double()
        self.is_positive = positive.flatten()[self._rows]
        self._is_none = ~self.is_positive
        self.num_positives = self.is_positive.sum().clamp_min(1)

    @property
    def as_scores(self) -> Tensor:
        """The positives (P,), with a place that is none at -inf, where it is above nothing."""
        return self.positives.masked_fill(self._is_none, -torch.inf)

    def of_positives(self, value: Tensor) -> Tensor:
        """What is said of each sample (B, N), in the order of the positives (P,) and in float64."""
        return value.flatten()[self._rows].double().masked_fill(self._is_none, 0)

    def mean_share(self, value: Tensor) -> Tensor:
        """What each positive (P,) adds to the mean over them: nothing where there is none."""
        return value.masked_fill(self._is_none, 0) / self.num_positives

    def to_samples(self, value: Tensor) -> Tensor:
        """What is said of each positive (P,), given back to its sample (B, N); 0 for all others."""
        given = value.new_zeros(self._shape[:-1]).flatten()
        return given.scatter_(0, self._rows, value.masked_fill(self._is_none, 0)).view(self._shape[:-1])

    def to_scores(self, of_positives: Tensor, of_negatives: Tensor) -> Tensor:
        """What is said of each positive (P,) and each negative (M,), given back to its score (B, N, C)."""
        given = of_negatives
        if self._negative_rows is not None:
            given = given.new_zeros(self._shape).flatten().scatter_(0, self._negative_rows, of_negatives)
        own = self.to_samples(of_positives).unsqueeze(-1)
        return given.view(self._shape).scatter_add(-1, self._labels, own)


def _looking_is_free(values: Tensor) -> bool:
    """On a CPU in eager mode; elsewhere the number of positives would have to be waited for."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def step_at_zero(delta: float) -> float:
    """H(0): how much a score counts as above itself or an equal one."""
    return 1.0 if delta == 0 else 0.5


class Windows:
    """The 2P bounds p_i - δ and p_i + δ of P ascending centres, and the 2P + 1 intervals between them.

    All on a scale where H(d) = clamp(d + 1/2, 0, 1); see `_to_unit_step`.

    bounds: (2P,) ascending.  order: which of all p_i - δ and then all p_i + δ each is.  lower: of each interval; +inf
    for the lowest, which has nothing to count.  width: of each interval, 0 for the highest.
    falling_order, falling_width: the same from the top.
    """

    def __init__(self, centres: Tensor, delta: float):
        self._centres, self._delta = centres, delta
        unit = _as_centres(self.unit_step(centres), delta)
        self.bounds, self.order = torch.cat([unit - 0.5, unit + 0.5]).sort()
        self.lower = F.pad(self.bounds, (1, 0), value=torch.inf)
        self.width = F.pad(_cut(self.bounds - self.lower[:-1]), (0, 1))
        self.falling_order, self.falling_width = self.order.flip(0), self.width.flip(0)

    def unit_step(self, scores: Tensor) -> Tensor:
        """Scores (M,) on that scale."""
        return _to_unit_step(scores, self._centres, self._delta)


class SoftOrder:
    """Which of M scores are above each of P centres, softly: H(s_j - p_i), in O((M + P) log P) and memory O(M + P).

    H rises only between the 2P bounds p_i - δ and p_i + δ, so a score is known by the interval between two bounds that
    it is in and its offset there. Sums over scores are areas under the number of scores above a threshold, sums over
    centres are piecewise linear in the score: both need one prefix sum over the bounds. Areas are summed from the top
    and slopes from the bottom, where the terms are small; widths and offsets beyond 2δ lie outside all windows p ± δ
    and are cut there. So no logit is too large, and float64 leaves P rounding errors of size 1e-16.
    """

    def __init__(self, windows: Windows, scores: Tensor):
        scores, self._windows = windows.unit_step(scores), windows
        self._interval = torch.searchsorted(windows.bounds, scores)  # (M,)
        self._offset = _cut(scores - windows.lower[self._interval])

    def above(self, weights: Tensor | None = None) -> Tensor:
        """Σ_j w_j H(s_j - p_i), with w_j = 1 where none are given: (M,) -> (P,)."""
        windows = self._windows
        number, area = sums = windows.width.new_zeros(2, len(windows.width))
        number.index_add_(0, self._interval, _ones_like(self._offset) if weights is None else weights)
        area.index_add_(0, self._interval, self._offset if weights is None else weights * self._offset)
        number, area = sums.flip(1)  # from the top
        beyond = F.pad(number.cumsum(0)[:-1], (1, 0))
        area_above = torch.addcmul(area, windows.falling_width, beyond).cumsum(0)[:-1]
        lower, upper = torch.empty_like(area_above).scatter_(0, windows.falling_order, area_above).chunk(2)
        return lower - upper

    def spread(self, shares: Tensor) -> Tensor:
        """Σ_i c_i H(s_j - p_i) for each score: (P,) -> (M,)."""
        slope = F.pad(torch.cat([shares, -shares])[self._windows.order].cumsum(0), (1, 0))
        level = F.pad((slope * self._windows.width).cumsum(0)[:-1], (1, 0))
        return torch.addcmul(level[self._interval], slope[self._interval], self._offset)


def _to_unit_step(scores: Tensor, centres: Tensor, delta: float) -> Tensor:
    """Scores on a scale where H(d) = clamp(d + 1/2, 0, 1): in units of 2δ, or, for a hard step, as whole numbers.

    These differ by one or more where two scores differ as seen from the centres, which then stand half below them.
    """
    if delta > 0:
        return scores / (2 * delta)
    below, up_to = (torch.searchsorted(centres, scores, right=right) for right in (False, True))
    return (below + up_to).to(scores.dtype)


def _as_centres(scores: Tensor, delta: float) -> Tensor:
    """Where centres with these scores stand on that scale."""
    return scores if delta > 0 else scores - 0.5


def _ones_like(values: Tensor) -> Tensor:
    return values.new_ones(1).expand_as(values)


def _cut(lengths: Tensor) -> Tensor:
    """Between 0 and the 1 that a window is wide; 0 between two infinities."""
    return lengths.nan_to_num(0, posinf=torch.inf).clamp(0, 1)


def sum_above_of_smaller_key(centres: Tensor, key: Tensor, weights: Tensor, delta: float) -> Tensor:
    """Σ_k w_k H(p_k - p_i) over those k whose key is smaller than that of i: (P,), (P,), (P, Q) -> (P, Q).

    The centres ascend. Those of smaller key are the first T_i by key, and [0, T_i) is one block of 2^l keys for each
    bit l that is set in T_i; in a block sorted by score the sum is a difference of prefix sums. O(P log² P), no P x P.
    """
    place = torch.arange(len(centres), device=centres.device)
    levels, by_key = key.sort()
    rank, smaller = torch.empty_like(by_key).scatter_(0, by_key, place), torch.searchsorted(levels, key)
    positions, fraction, shift = _window_ends(centres, delta)
    values, total = torch.cat([weights, weights * fraction], dim=-1), torch.zeros_like(weights)
    for bits in _bits_at_a_time(place):
        sums = _sums_of_blocks(rank >> bits, (smaller >> bits) - 1, place, positions, values)  # (bits, 4, P, 2Q)
        rising, flat = (sums[:, 1::2] - sums[:, ::2]).unbind(1)
        (number, part), flat = rising.chunk(2, dim=-1), flat[..., : weights.shape[-1]]
        in_window = torch.addcmul(part + flat, shift, number)
        total += in_window.masked_fill((smaller >> bits & 1).unsqueeze(-1) == 0, 0).sum(dim=0)
    return total


def _bits_at_a_time(place: Tensor) -> Iterator[Tensor]:
    """The bits of as many places, a column (bits, 1) of each few that are dealt with at once."""
    bits = torch.arange(len(place).bit_length(), device=place.device).unsqueeze(-1)
    step = max(1, NUMBERS_AT_A_TIME.get(place.device.type, LAUNCHES_PAY) // max(1, len(place)))
    return iter(bits.split(step))


def _sums_of_blocks(block: Tensor, wanted: Tensor, place: Tensor, positions: Tensor, values: Tensor) -> Tensor:
    """Sums of the values (P, Q) of what is in the wanted block and before each of the positions (R, P).

    block: of each, its number, (L, P) for L ways to make blocks.  wanted: (L, P).  -> (L, R, P, Q)
    """
    P = len(place)
    blocks, order = (block * (P + 1) + place).sort()
    sums = F.pad(values[order].cumsum(1), (0, 0, 1, 0))  # (L, P + 1, Q)
    found = torch.searchsorted(blocks, ((wanted * (P + 1)).unsqueeze(1) + positions).flatten(1))
    return sums.gather(1, found.unsqueeze(-1).expand(-1, -1, values.shape[-1])).unflatten(1, positions.shape)


def _window_ends(centres: Tensor, delta: float) -> tuple[Tensor, Tensor, Tensor]:
    """With W and F the sums of w and of w times the fraction of s, which stay small whatever s:

        Σ_k w_k H(s_k - p_i) = (F + shift_i W) from start to stop + W from middle to end

    as a window p ± 1/2 has a whole number in it once, at ``middle``.
    -> positions of start, stop, middle and end (4, P), fraction (P, 1), shift (P, 1)
    """
    scores = _to_unit_step(centres, centres, delta)
    centres = _as_centres(scores, delta)
    lower, upper = centres - 0.5, centres + 0.5
    first_cell = lower.floor()
    edges = torch.stack([lower, upper, first_cell + 1])
    positions = F.pad(torch.searchsorted(scores, edges), (0, 0, 0, 1), value=len(scores))
    fraction, shift = scores - scores.floor(), first_cell - lower
    return positions, fraction.nan_to_num(0).unsqueeze(-1), shift.nan_to_num(0).unsqueeze(-1)
