"""The one primitive under every hard sampler: a key, a grouping and a quota.

| sampler         | key   | group           | quota         |
|-----------------|-------|-----------------|---------------|
| random balanced | noise | image, pos/neg  | n·f, n·(1-f)  |
| SSD 3:1         | loss  | image, neg      | 3 · #pos      |
| OHEM            | loss  | image           | B/N           |
| IoU-balanced    | noise | image, IoU bin  | num/K, then random top-up |
| instance-balanced | noise | object        | num/G, then random top-up |
| pixel OHEM      | loss  | batch           | B · min_kept  |
| ATSS            | -distance | object, level | k         |
| TAL, SimOTA     | fit of the prediction | object | k     |
| IoU-HLR         | IoU   | object, then class | all: the rank becomes a weight |

No loop over images or groups, no boolean gather, no host synchronisation: shapes are static throughout.

Below it, what ranking losses stand on: how many scores are above each of a few, softly, without an array of all pairs.

    H(d) = clamp(d / 2δ + 1/2, 0, 1);   where δ = 0 the hard step, 1 for d >= 0 and else 0
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.samples import IGNORE, Assignment

__all__ = [
    "ScorePool",
    "SoftOrder",
    "hierarchical_local_rank",
    "rank_in_groups",
    "step_at_zero",
    "sum_above_of_smaller_key",
    "top_among",
    "top_balanced",
    "top_indices",
    "top_preferred",
]


def rank_in_groups(key: Tensor, group: Tensor) -> Tensor:
    """Place of each sample among those of its row and group, largest key first: (B, N), (B, N) -> (B, N) int64.

    Rank 0 is the largest key. Ties keep their order, so the result is repeatable.
    """
    order = key.argsort(dim=-1, descending=True, stable=True)
    order = order.gather(-1, group.gather(-1, order).argsort(dim=-1, stable=True))  # by group, then by key
    sorted_group = group.gather(-1, order)
    place = torch.arange(key.shape[-1], device=key.device).expand_as(order)
    starts = torch.ones_like(sorted_group, dtype=torch.bool)
    starts[..., 1:] = sorted_group[..., 1:] != sorted_group[..., :-1]
    first_of_group = torch.where(starts, place, 0).cummax(dim=-1).values
    return torch.empty_like(order).scatter_(-1, order, place - first_of_group)


def hierarchical_local_rank(key: Tensor, local_group: Tensor, group: Tensor) -> Tensor:
    """Rank by the place in the local group first and by key second: three times (B, N) -> (B, N) int64.

    The best of every local group come first, among them the largest key; then the second best of each, and so on.
    Cao, Chen, Loy, Lin, Prime Sample Attention in Object Detection, CVPR 2020, arXiv:1904.04821, section 3.2.
    """
    local_rank = rank_in_groups(key, local_group)
    order = key.argsort(dim=-1, descending=True, stable=True)
    order = order.gather(-1, local_rank.gather(-1, order).argsort(dim=-1, stable=True))
    places = torch.arange(key.shape[-1], device=key.device).expand_as(order)
    return rank_in_groups(-torch.empty_like(order).scatter_(-1, order, places), group)


def top_among(key: Tensor, candidates: Tensor, quota: int | Tensor) -> Tensor:
    """Mask of the ``quota`` candidates of each row with the largest key: (B, N), (B, N) bool -> (B, N) bool.

    ``quota`` is a number, or one per row as (B, 1). Fewer are kept where there are fewer candidates. The key is
    floating, and finite for candidates: one sort then does what `rank_in_groups` needs two for.
    """
    order = key.masked_fill(~candidates, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    place = torch.arange(key.shape[-1], device=key.device).expand_as(order)
    return candidates & torch.zeros_like(candidates).scatter(-1, order, place < quota)


def top_preferred(key: Tensor, candidates: Tensor, preferred: Tensor, quota: int | Tensor) -> Tensor:
    """As `top_among`, but candidates that are also ``preferred`` (B, N) come before all others, whatever their key."""
    tier = torch.where(candidates, torch.where(preferred, 0, 1), 2)
    rank = rank_in_groups(key, tier)
    behind = torch.where(tier == 1, (tier == 0).sum(dim=-1, keepdim=True), 0)
    return candidates & (rank + behind < quota)


def top_indices(key: Tensor, num: int) -> Tensor:
    """Places of the ``num`` > 0 largest keys, largest first, or of all if there are fewer: (..., N) -> (..., K) int64.

    Ties keep their order. `torch.topk` leaves open which of equal keys it takes, and devices differ in it; so it finds
    the least key that gets in, and then all above it and the first that equal it. No sort of all N.
    """
    num, place = min(num, key.shape[-1]), torch.arange(key.shape[-1], dtype=torch.int32, device=key.device)
    least = key.topk(num, dim=-1).values[..., -1:]
    turn = torch.where(key > least, place - key.shape[-1], torch.where(key == least, place, key.shape[-1]))
    index = turn.topk(num, dim=-1, largest=False).indices.sort(dim=-1).values
    return index.gather(-1, key.gather(-1, index).argsort(dim=-1, descending=True, stable=True))


def top_balanced(key: Tensor, assignment: Assignment, num: int, positive_fraction: float) -> Tensor:
    """Mask (B, N) of at most ``num`` samples an image: the top positives up to their share, the rest top negatives.

    ``int(num · positive_fraction)`` bounds the positives; negatives take every place that is left.
    """
    rank = rank_in_groups(key, assignment.matched_gt.clamp_max(0))
    positives = assignment.is_positive & (rank < int(num * positive_fraction))
    return positives | (assignment.is_negative & (rank < num - positives.sum(dim=-1, keepdim=True)))


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
