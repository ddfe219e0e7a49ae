"""The one primitive under every hard sampler: a key, a grouping and a quota.

| sampler         | key   | group           | quota         |
|-----------------|-------|-----------------|---------------|
| random balanced | noise | image, pos/neg  | n·f, n·(1-f)  |
| SSD 3:1         | loss  | image, neg      | 3 · #pos      |
| OHEM            | loss  | image           | B/N           |
| IoU-balanced    | noise, renewed | image, IoU bin | num/K, then random top-up |
| instance-balanced | noise, renewed | object | num/G, then random top-up |
| pixel OHEM      | loss  | batch           | B · min_kept  |
| ATSS            | -distance | object, level | k         |
| TAL, SimOTA     | fit of the prediction | object | k     |
| IoU-HLR         | IoU   | object, then class | all: the rank becomes a weight |

No loop over images or groups, no boolean gather, no host synchronisation: shapes are static throughout.

Whole numbers hold both a key and what goes before or after it in the order: the group above its 32 bits, the place
below. So one sort is enough, no two are alike, and a threshold tells who is chosen.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.samples import Assignment

__all__ = [
    "balanced_priority",
    "draw_among",
    "hierarchical_local_rank",
    "looking_is_free",
    "places_left",
    "rank_in_groups",
    "rising",
    "top_among",
    "top_balanced",
    "top_indices",
    "top_preferred",
    "top_set",
]

PLACES = 1 << 30
"""More than there are samples in a row."""
LAST = 1 << 62
"""The turn of who is no candidate."""


def rising(key: Tensor) -> Tensor:
    """Whole numbers of 32 bits that rise with the key, and may stand for it in all that follows: (B, N) -> (B, N).

    The bits of floats rise with them, as those of whole numbers do, but fall below 0; NaN is as large as infinity. Of
    numbers of 64 bits it is the place in a sort.
    """
    if key.element_size() == 8:
        key = key.nan_to_num(torch.inf, torch.inf, -torch.inf) if key.is_floating_point() else key
        order = key.argsort(dim=-1, descending=True, stable=True)
        return -_back(order, _place(order).expand_as(order))
    if not key.is_floating_point():
        return key.int()
    bits = (key.float().nan_to_num(torch.inf, torch.inf, -torch.inf) + 0).view(torch.int32)  # -0 + 0 is 0
    return bits ^ ((bits >> 31) & torch.iinfo(torch.int32).max)


def rank_in_groups(key: Tensor, group: Tensor) -> Tensor:
    """Place of each sample among those of its row and group, largest key first: (B, N), (B, N) -> (B, N) int64.

    Rank 0 is the largest key; NaN is as large as infinity. Ties keep their order, so the result is repeatable. Groups
    are numbers within 31 bits.
    """
    _, order = _sorted((group.long() << 32) - rising(key))
    group = group.gather(-1, order)
    return _back(order, _place(order) - torch.searchsorted(group, group))


def hierarchical_local_rank(key: Tensor, local_group: Tensor, group: Tensor) -> Tensor:
    """Rank by the place in the local group first and by key second: three times (B, N) -> (B, N) int64.

    The best of every local group come first, among them the largest key; then the second best of each, and so on.
    Cao, Chen, Loy, Lin, Prime Sample Attention in Object Detection, CVPR 2020, arXiv:1904.04821, section 3.2.
    """
    return rank_in_groups(rising(key) - (rank_in_groups(key, local_group) << 32), group)


def balanced_priority(
    noise: Tensor, candidates: Tensor, group: Tensor, quota: Tensor, num_groups: int | None = None
) -> Tensor:
    """Key that puts an equal share of each group first and all other candidates behind: three times (B, N) -> (B, N).

    The largest ``quota`` (B, 1) keys of the candidates are ``quota / num_groups`` random ones of each group, rounded
    down but at least 1, and, for the places that are left, others. These have the same chance each, whatever their
    group; and where there are more groups than places, each group has the same chance of one. Keys are at least 0, and
    float32; those of who is no candidate mean nothing. Where looking is free and candidates are few, only these are
    sorted.

    noise: uniform in [0, 1), and what decides. The largest of a group are its share, which leaves small numbers for the
        rest. Those are uniform below the least of the share, so that divided by it they are as good as new. Likewise
        the largest of m numbers is no more, on average, for a large group once it is raised to the power of m.
    group: numbers from -1 up, within 30 bits.  num_groups: None for the number of those that have a candidate.
    """
    if not looking_is_free(noise) or 4 * (num := _most_in_a_row(candidates)) > noise.shape[-1]:
        return _balanced(noise, candidates, group, quota, num_groups)
    index, is_there = _next_to_each_other(candidates, num)
    few, group = (values.gather(-1, index.clamp_max(noise.shape[-1] - 1)) for values in (noise, group))
    blank = noise.new_zeros(len(noise), noise.shape[-1] + 1, dtype=torch.float32)
    return blank.scatter_(-1, index, _balanced(few, is_there, group, quota, num_groups))[:, :-1]


def _balanced(noise: Tensor, candidates: Tensor, group: Tensor, quota: Tensor, num_groups: int | None) -> Tensor:
    noise, end = noise.float(), group.long() << 33
    found, order = _sorted(torch.where(candidates, end - noise.view(torch.int32), end + 1))  # who is none, behind
    draw, end = noise.gather(-1, order), end.gather(-1, order)
    start = torch.searchsorted(end, end)
    number, size = _place(order, 1) - start, torch.searchsorted(found, end, right=True) - start
    num = num_groups or (number == size).sum(-1, keepdim=True).clamp_min(1)  # each group has one last candidate
    share = (quota // num).clamp_min(1)
    least = draw.gather(-1, (start + (share - 1)).clamp_max(draw.shape[-1] - 1))
    anew = draw / least.clamp_min(torch.finfo(draw.dtype).tiny)
    return _back(order, torch.where(number <= share, 2 + draw.pow(size), anew))


def draw_among(noise: Tensor, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
    """As `top_among` of noise, or any other key from 0 up; of keys that differ only in float64 the first are taken."""
    return _first(_turn(noise.float().view(torch.int32)), candidates, quota, most)


def top_among(key: Tensor, candidates: Tensor, quota: int | Tensor, most: int | None = None) -> Tensor:
    """Mask of the ``quota`` candidates of each row with the largest key: (B, N), (B, N) bool -> (B, N) bool.

    ``quota`` is a number, or one per row as (B, 1), rounded up. Fewer are kept where there are fewer candidates; of
    equal keys the first. NaN is as large as infinity.
    most: what no quota is above, where that is known; then not all N have to be sorted.
    """
    if len(key) == 1 and key.is_floating_point() and looking_is_free(key):
        return _top_of_row(key, candidates, math.ceil(quota))
    return _first(_turn(rising(key)), candidates, quota, most)


def _top_of_row(key: Tensor, candidates: Tensor, quota: int) -> Tensor:
    """As `top_among` of a single row, of millions of pixels perhaps: the least key that gets in decides; no sort."""
    if quota >= int(candidates.sum()):
        return candidates.clone()
    key = key.nan_to_num(torch.inf, torch.inf, -torch.inf).masked_fill(~candidates, -torch.inf)
    least = key.topk(max(quota, 1), sorted=False).values.amin()
    above, level = key > least, candidates & (key == least)
    places = quota - int(above.sum())
    if places == int(level.sum()):
        return above | level
    return above | (level & (level.cumsum(dim=-1) <= places)) if quota else torch.zeros_like(candidates)


def top_preferred(
    key: Tensor, candidates: Tensor, preferred: Tensor, quota: int | Tensor, most: int | None = None
) -> Tensor:
    """As `top_among`, but candidates that are also ``preferred`` (B, N) come before all others, whatever their key."""
    return _first(torch.add(_turn(rising(key)), preferred, alpha=-(PLACES << 32)), candidates, quota, most)


def _turn(rising: Tensor) -> Tensor:
    """Whole numbers, no two alike, that fall where others of 32 bits rise, and where these are equal rise: (B, N)."""
    return torch.sub(_place(rising), rising, alpha=PLACES)


def _first(turn: Tensor, candidates: Tensor, quota: int | Tensor, most: int | None) -> Tensor:
    """Mask of the ``quota`` candidates of each row whose turn comes first, (B, N)."""
    turn, num = torch.where(candidates, turn, LAST), turn.shape[-1]
    if isinstance(quota, int):
        most, quota = quota, torch.full((len(turn), 1), quota, device=turn.device)
    quota = quota.ceil().long() if quota.is_floating_point() else quota
    if most is None and looking_is_free(quota) and len(quota):
        most = int(quota.max())
    if most is None or most >= num:
        first, quota = F.pad(_sorted(turn)[0], (0, 1), value=LAST), quota.clamp_max(num)
    else:
        first = turn.topk(most + 1, dim=-1, largest=False).values
    return turn < first.gather(-1, quota)


def top_indices(key: Tensor, num: int) -> Tensor:
    """Places of the ``num`` > 0 largest keys, largest first, or of all if there are fewer: (..., N) -> (..., K) int64.

    Ties keep their order. No sort of all N.
    """
    index = top_set(key, num)
    return index.gather(-1, key.gather(-1, index).argsort(dim=-1, descending=True, stable=True))


def top_set(key: Tensor, num: int) -> Tensor:
    """As `top_indices`, but in the order of their places, those that equal the least of them last.

    `torch.topk` leaves open which of equal keys it takes, and devices differ in it; so it finds the least key that gets
    in, and then all above it and the first that equal it. Where looking is free, it looks whether there are others.
    """
    N = key.shape[-1]
    num = min(num, N)
    values, index = key.topk(num, dim=-1)
    least = values[..., -1:]
    if looking_is_free(key) and bool(((key >= least).sum(dim=-1) == num).all()):
        return index.gather(-1, torch.where(values > least, index - N, index).argsort(dim=-1))
    early, place = torch.arange(-N, N, dtype=torch.int32, device=key.device).tensor_split(2)
    turn = torch.where(key > least, early, place).masked_fill(key < least, N)
    return turn.topk(num, dim=-1, largest=False).indices


def top_balanced(
    key: Tensor,
    assignment: Assignment,
    num: int,
    positive_fraction: float,
    negatives_per_positive: float | None = None,
) -> Tensor:
    """Mask (B, N) of at most ``num`` samples an image: the top positives up to their share, the rest top negatives.

    ``int(num · positive_fraction)`` bounds the positives; negatives take every place that is left, up to so many times
    the positives kept.
    """
    positives = top_among(key, assignment.is_positive, int(num * positive_fraction))
    left = places_left(num, positives.sum(dim=-1, keepdim=True), negatives_per_positive)
    return positives | top_among(key, assignment.is_negative, left, num)


def places_left(num: int, positives: Tensor, negatives_per_positive: float | None) -> Tensor:
    """How many negatives an image may keep, (B, 1), after so many of its ``num`` places went to positives (B, 1).

    negatives_per_positive: where given, at most that many for each, as if there were one where there is none.
    """
    left = num - positives
    if negatives_per_positive is None:
        return left
    return torch.minimum(left, (positives.clamp_min(1) * negatives_per_positive).long())


def _place(row: Tensor, first: int = 0) -> Tensor:
    return torch.arange(first, first + row.shape[-1], device=row.device)


def _back(order: Tensor, values: Tensor) -> Tensor:
    """What belongs to sorted numbers, where they came from, (B, N)."""
    return torch.empty_like(values).scatter_(-1, order, values)


def looking_is_free(values: Tensor) -> bool:
    """On a CPU in eager mode; elsewhere what a number is would have to be waited for."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def _most_in_a_row(mask: Tensor) -> int:
    return int(mask.sum(dim=-1).max()) if len(mask) else 0


def _next_to_each_other(mask: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Places where a mask (B, N) is true, row by row, N where a row has no more, and where it has some: (B, num)."""
    # its number is waited for: only where looking is free, see `balanced_priority`
    column = mask.nonzero()[:, 1]
    is_there = _place(column.new_empty(num)) < mask.sum(dim=-1, keepdim=True)
    return torch.full_like(is_there, mask.shape[-1], dtype=torch.int64).masked_scatter_(is_there, column), is_there


def _sorted(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers (B, N) of each row in rising order, and whence they came.

    A single row is sorted as such: that is what torch's radix sort takes, on a CPU four times as fast as one of rows.
    """
    row = numbers.squeeze(0) if len(numbers) == 1 else numbers
    found, order = row.sort(stable=True)
    return found.view(numbers.shape), order.view(numbers.shape)
