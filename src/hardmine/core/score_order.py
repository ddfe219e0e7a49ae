"""What ranking losses stand on: how many scores are above each of a few, softly, without an array of all pairs.

H(d) = clamp(d / 2δ + 1/2, 0, 1);   where δ = 0 the hard step, 1 for d >= 0 and else 0
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.rank_in_groups import looking_is_free
from hardmine.core.samples import IGNORE

__all__ = ["ScorePool", "SoftOrder", "Windows", "step_at_zero", "sum_above_of_smaller_key"]

NUMBERS_AT_A_TIME = {"cpu": 1 << 16}
"""Numbers of a block sum that are dealt with at once on a kind of device: what its cache holds."""
LAUNCHES_PAY = 1 << 22
"""The same on all other devices: as `assign.base` says of pairs, but each is a dozen numbers of 8 bytes here."""

LARGEST = 2.0**32
"""Of scores that are told apart: float64 has a millionth there, and every probability is 0 or 1 long before."""


class ScorePool:
    """The scores of a batch as one list of positives and one of negatives, and the way back.

    A positive is a sample with its label's class; every other class of a valid sample is a negative. The P positives
    are found by their number, which on a device is waited for: once, and everything that is said of positives is then
    of size P, not of one for each sample. A compiled graph cannot wait: there every sample has a place among the
    positives, at +inf unless it is one. Among the negatives all scores have a place, at -inf unless they are one; but
    on a CPU in eager mode, where looking costs nothing, only those not below all positives, if they are few. Nothing is
    ever above +inf, or -inf above anything.

    positives: (P,) ascending, in float64.  num_positives: how many places are one, at least 1.
    negatives: (M,), in float32 at least.
    """

    def __init__(self, logits: Tensor, labels: Tensor, delta: float):
        scores, self._labels = _bounded(at_least_float32(logits.detach())), labels.flatten()
        self._is_static = torch.compiler.is_compiling()
        self._rows = _all_places(self._labels) if self._is_static else _places_of_positives(self._labels)
        places = self._rows * logits.shape[-1] + self._labels[self._rows].clamp_min(0)
        self.positives, order = self.only_positives(scores.flatten()[places].double(), torch.inf).sort()
        self._rows, self._places = self._rows[order], places[order]
        self.num_positives = self.only_positives(torch.ones_like(self.positives)).sum().clamp_min(1)
        ignored = (labels == IGNORE).unsqueeze(-1)
        negatives = scores.masked_fill_(ignored, -torch.inf).flatten()
        own = self.only_positives(torch.full_like(self.positives, -torch.inf, dtype=negatives.dtype), 0)
        self.negatives = negatives.index_add_(0, self._places, own)
        self._logits, self._negative_rows = logits.detach(), None
        if looking_is_free(logits):
            self._keep_negatives_above(F.pad(self.positives, (0, 1), value=torch.inf)[:1] - delta)

    def _keep_negatives_above(self, least: Tensor) -> None:
        """Leaves out the negatives below all positives, where these are most of them."""
        counts = self.negatives >= _rounded_down(least, self.negatives.dtype)
        if counts.sum() < len(counts) // 2:
            self._negative_rows = counts.nonzero().squeeze(-1)
            self.negatives = self.negatives[self._negative_rows]

    @property
    def as_scores(self) -> Tensor:
        """The positives (P,), with a place that is none at -inf, where it is above nothing."""
        return self.only_positives(self.positives, -torch.inf)

    def only_positives(self, values: Tensor, otherwise: float = 0) -> Tensor:
        """Values (P,), and something else where a place is no positive."""
        return values.masked_fill(self._labels[self._rows] < 0, otherwise) if self._is_static else values

    def of_positives(self, value: Tensor) -> Tensor:
        """What is said of each sample (B, N), in the order of the positives (P,) and in float64."""
        return self.only_positives(value.flatten()[self._rows].double())

    def mean_share(self, value: Tensor) -> Tensor:
        """What each positive (P,) adds to the mean over them: nothing where there is none."""
        return self.only_positives(value) / self.num_positives

    def to_samples(self, value: Tensor) -> Tensor:
        """What is said of each positive (P,), given back to its sample (B, N); 0 for all others."""
        shape = self._logits.shape[:-1]
        given = value.new_zeros(shape.numel())
        return given.scatter_(0, self._rows, self.only_positives(value)).view(shape)

    def to_scores(self, of_positives: Tensor, of_negatives: Tensor) -> Tensor:
        """What is said of each positive (P,) and each negative (M,), given back to its logit (B, N, C), as that is."""
        given, own = (value.to(self._logits.dtype) for value in (of_negatives, of_positives))
        if self._negative_rows is not None:
            given = given.new_zeros(self._logits.numel()).scatter_(0, self._negative_rows, given)
        return given.index_add(0, self._places, self.only_positives(own)).view(self._logits.shape)


def _bounded(scores: Tensor) -> Tensor:
    """A copy in which every score differs from itself by 0, and by half a step from the end of its window."""
    return scores.clamp(-LARGEST, LARGEST)


def _places_of_positives(labels: Tensor) -> Tensor:
    """Of labels (M,); waits for their number."""
    return (labels >= 0).nonzero().squeeze(-1)


def _all_places(labels: Tensor) -> Tensor:
    return torch.arange(len(labels), device=labels.device)


def step_at_zero(delta: float) -> float:
    """H(0): how much a score counts as above itself or an equal one."""
    return 1.0 if delta == 0 else 0.5


class Windows:
    """The 2P bounds p_i - δ and p_i + δ of P ascending centres, and the 2P + 1 intervals between them.

    A hard step has no width: there scores are made whole numbers, and their steps 1 wide; see `_as_whole_numbers`.

    step: 2δ, or 1.  bounds: (2P,) ascending.  order: which of all p_i - δ and then all p_i + δ each is.
    lower: of each interval; +inf for the lowest, which has nothing to count.  width: of each interval, 0 for the
    highest.  falling_order, falling_width: the same from the top.
    """

    def __init__(self, centres: Tensor, delta: float):
        self._centres, self._is_hard, self.step = centres, delta == 0, 2 * delta or 1.0
        middle = self.on_scale(centres) - (0.5 if self._is_hard else 0)
        self.bounds, self.order = torch.cat([middle - self.step / 2, middle + self.step / 2]).sort()
        self.lower = F.pad(self.bounds, (1, 0), value=torch.inf)
        self.width = F.pad(self.cut((self.bounds - self.lower[:-1]).nan_to_num(0, posinf=torch.inf)), (0, 1))
        self.falling_order, self.falling_width = self.order.flip(0), self.width.flip(0)

    def on_scale(self, scores: Tensor) -> Tensor:
        """Scores (M,), or the whole numbers that stand for them."""
        return _as_whole_numbers(scores, self._centres) if self._is_hard else scores

    def cut(self, lengths: Tensor) -> Tensor:
        """In place, between 0 and the width of a step, beyond which nothing counts."""
        return lengths.clamp_(0, self.step)

    def interval_of(self, scores: Tensor) -> Tensor:
        """Number of the interval that each score (M,) is in, as they are found on the scale."""
        return torch.searchsorted(_rounded_down(self.bounds, scores.dtype), scores, out_int32=True)


class SoftOrder:
    """Which of M scores are above each of P centres, softly: H(s_j - p_i), in O((M + P) log P) and memory O(M + P).

    H rises only between the 2P bounds p_i - δ and p_i + δ, so a score is known by the interval between two bounds that
    it is in and its offset there. Sums over scores are areas under the number of scores above a threshold, sums over
    centres are piecewise linear in the score: both need one prefix sum over the bounds. Areas are summed from the top
    and slopes from the bottom, where the terms are small; widths and offsets beyond 2δ lie outside all windows p ± δ
    and are cut there. So no logit is too large, and float64 leaves P rounding errors of size 1e-16.
    """

    def __init__(self, windows: Windows, scores: Tensor):
        scores, self._windows = windows.on_scale(scores), windows
        self._interval = windows.interval_of(scores)  # (M,)
        offset = windows.lower.index_select(0, self._interval)
        self._offset = windows.cut(torch.sub(scores, offset, out=offset))

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
        return (lower - upper) / windows.step

    def spread(self, shares: Tensor) -> Tensor:
        """Σ_i c_i H(s_j - p_i) for each score: (P,) -> (M,)."""
        windows = self._windows
        slopes = torch.cat([shares, -shares]) / windows.step
        slope = F.pad(slopes[windows.order].cumsum(0), (1, 0))
        level = F.pad((slope * windows.width).cumsum(0)[:-1], (1, 0))
        level, slope = (values.index_select(0, self._interval) for values in (level, slope))
        return level.addcmul_(slope, self._offset)


def _as_whole_numbers(scores: Tensor, centres: Tensor) -> Tensor:
    """Scores as seen from the centres: they differ by one or more where two scores differ; centres stand half below."""
    scores = scores.to(centres.dtype)
    below, up_to = (torch.searchsorted(centres, scores, right=right) for right in (False, True))
    return (below + up_to).to(centres.dtype)


def _rounded_down(bounds: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest number of the dtype not above each bound: a score of the dtype is above both or above neither."""
    if bounds.dtype == dtype:
        return bounds
    near = bounds.to(dtype)
    return torch.where(near > bounds, near.nextafter(near.new_full((), -torch.inf)), near)


def _ones_like(values: Tensor) -> Tensor:
    return values.new_ones(1).expand_as(values)


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

    with s in units of 2δ, or in whole numbers: a window p ± 1/2 has a whole number in it once, at ``middle``.
    -> positions of start, stop, middle and end (4, P), fraction (P, 1), shift (P, 1)
    """
    scores = centres / (2 * delta) if delta > 0 else _as_whole_numbers(centres, centres)
    centres = scores if delta > 0 else scores - 0.5
    lower, upper = centres - 0.5, centres + 0.5
    first_cell = lower.floor()
    edges = torch.stack([lower, upper, first_cell + 1])
    positions = F.pad(torch.searchsorted(scores, edges), (0, 0, 0, 1), value=len(scores))
    fraction, shift = scores - scores.floor(), first_cell - lower
    return positions, fraction.nan_to_num(0).unsqueeze(-1), shift.nan_to_num(0).unsqueeze(-1)
