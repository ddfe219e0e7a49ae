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
"""

import torch
from torch import Tensor

from hardmine.boxes import at_least_float32
from hardmine.samples import IGNORE, Assignment

__all__ = [
    "balanced_priority",
    "hierarchical_local_rank",
    "rank_in_groups",
    "top_among",
    "top_balanced",
    "top_indices",
    "top_preferred",
    "top_set",
]


def rank_in_groups(key: Tensor, group: Tensor) -> Tensor:
    """Place of each sample among those of its row and group, largest key first: (B, N), (B, N) -> (B, N) int64.

    Rank 0 is the largest key. Ties keep their order, so the result is repeatable. Groups are numbers within int32.
    """
    order, starts = _by_group(key, group)
    return _back(order, _place(order) - _first_of_group(starts)).view(key.shape)


def hierarchical_local_rank(key: Tensor, local_group: Tensor, group: Tensor) -> Tensor:
    """Rank by the place in the local group first and by key second: three times (B, N) -> (B, N) int64.

    The best of every local group come first, among them the largest key; then the second best of each, and so on.
    Cao, Chen, Loy, Lin, Prime Sample Attention in Object Detection, CVPR 2020, arXiv:1904.04821, section 3.2.
    """
    order = _order(_falling(key), rank_in_groups(key, local_group))
    return rank_in_groups(-_back(order, _place(order)).view(key.shape), group)


def balanced_priority(
    noise: Tensor, candidates: Tensor, group: Tensor, quota: Tensor, num_groups: int | None = None
) -> Tensor:
    """Key that puts an equal share of each group first and all other candidates behind: three times (B, N) -> (B, N).

    The largest ``quota`` (B, 1) keys of the candidates are ``quota / num_groups`` random ones of each group, rounded
    down but at least 1, and, for the places that are left, others. These have the same chance each, whatever their
    group; and where there are more groups than places, each group has the same chance of one.

    noise: uniform in [0, 1), and what decides. The largest of a group are its share, which leaves small numbers for the
        rest. Those are uniform below the least of the share, so that divided by it they are as good as new. Likewise
        the largest of m numbers is no more, on average, for a large group once it is raised to the power of m.
    group: numbers from -1 up, within int32.  num_groups: None for the number of those that have a candidate.
    """
    noise = at_least_float32(noise)
    order, starts = _by_group(noise, torch.where(candidates, group, IGNORE))
    first = _first_of_group(starts)
    num = num_groups or (_back(order, starts).view_as(candidates) & candidates).sum(-1, keepdim=True).clamp_min(1)
    share, draw = (values.expand_as(noise).flatten()[order] for values in ((quota // num).clamp_min(1), noise))
    least = draw[(first + share - 1).clamp_max(len(order) - 1)].clamp_min(torch.finfo(draw.dtype).tiny)
    is_share = _place(order) - first < share
    return _back(order, torch.where(is_share, 2 + draw.pow(_size_of_group(starts)), draw / least)).view_as(noise)


def top_among(key: Tensor, candidates: Tensor, quota: int | Tensor, most: int | None = None) -> Tensor:
    """Mask of the ``quota`` candidates of each row with the largest key: (B, N), (B, N) bool -> (B, N) bool.

    ``quota`` is a number, or one per row as (B, 1), rounded up. Fewer are kept where there are fewer candidates. The
    key is floating, and finite for candidates; NaN is the largest.
    most: what no quota is above, where that is known; then not all N have to be sorted.
    """
    most = quota if isinstance(quota, int) else most
    eligible = key.masked_fill(~candidates, -torch.inf).nan_to_num(torch.inf, torch.inf, -torch.inf)
    if most is None or most >= key.shape[-1]:
        order = _descending_order(eligible)
        place = torch.arange(key.shape[-1], device=key.device).expand_as(order)
        return candidates & torch.zeros_like(candidates).scatter(-1, order, place < quota)
    if isinstance(quota, int):
        quota = torch.full((len(key), 1), quota, device=key.device)
    return candidates & _above_the_rest(eligible, quota, most)


def _above_the_rest(key: Tensor, quota: Tensor, most: int) -> Tensor:
    """Mask of the ``quota`` largest of each row, (B, N): all above the next one, and the first of those that equal it.

    most: below N; no quota is above it.
    """
    quota = quota.ceil().long() if quota.is_floating_point() else quota
    left_out = key.topk(most + 1, dim=-1).values.gather(-1, quota)
    above, equal = key > left_out, key == left_out
    fits = equal.cumsum(dim=-1) <= quota - above.sum(dim=-1, keepdim=True)
    return torch.where(equal, fits, above)


def top_preferred(
    key: Tensor, candidates: Tensor, preferred: Tensor, quota: int | Tensor, most: int | None = None
) -> Tensor:
    """As `top_among`, but candidates that are also ``preferred`` (B, N) come before all others, whatever their key."""
    first = top_among(key, candidates & preferred, quota, most)
    return first | top_among(key, candidates & ~preferred, quota - first.sum(dim=-1, keepdim=True), most)


def top_indices(key: Tensor, num: int) -> Tensor:
    """Places of the ``num`` > 0 largest keys, largest first, or of all if there are fewer: (..., N) -> (..., K) int64.

    Ties keep their order. No sort of all N.
    """
    index = top_set(key, num)
    return index.gather(-1, key.gather(-1, index).argsort(dim=-1, descending=True, stable=True))


def top_set(key: Tensor, num: int) -> Tensor:
    """As `top_indices`, but in the order of their places, those that equal the least of them last.

    `torch.topk` leaves open which of equal keys it takes, and devices differ in it; so it finds the least key that gets
    in, and then all above it and the first that equal it.
    """
    N, device = key.shape[-1], key.device
    least = key.topk(min(num, N), dim=-1).values[..., -1:]
    early, place = torch.arange(-N, N, dtype=torch.int32, device=device).tensor_split(2)
    turn = torch.where(key > least, early, place).masked_fill(key < least, N)
    return turn.topk(min(num, N), dim=-1, largest=False).indices


def top_balanced(key: Tensor, assignment: Assignment, num: int, positive_fraction: float) -> Tensor:
    """Mask (B, N) of at most ``num`` samples an image: the top positives up to their share, the rest top negatives.

    ``int(num · positive_fraction)`` bounds the positives; negatives take every place that is left.
    """
    positives = top_among(key, assignment.is_positive, int(num * positive_fraction))
    return positives | top_among(key, assignment.is_negative, num - positives.sum(dim=-1, keepdim=True), num)


def _by_group(key: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Places of all numbers by row, then group, then falling key, and whether a group starts there, (B · N,) each."""
    order = _order(_falling(key), group.int(), _row_of(key))
    row, group = _row_of(key).flatten()[order], group.flatten()[order]
    starts = torch.ones_like(order, dtype=torch.bool)
    starts[1:] = (group[1:] != group[:-1]) | (row[1:] != row[:-1])
    return order, starts


def _first_of_group(starts: Tensor) -> Tensor:
    """Where the group of each sorted number starts, (B · N,) int64."""
    return torch.where(starts, _place(starts), 0).cummax(dim=0).values


def _size_of_group(starts: Tensor) -> Tensor:
    """How many numbers the group of each sorted number has, (B · N,) int64."""
    start_of_next = torch.where(starts, _place(starts), len(starts)).roll(-1)
    start_of_next[-1:] = len(starts)
    return start_of_next.flip(0).cummin(dim=0).values.flip(0) - _first_of_group(starts)


def _place(row: Tensor) -> Tensor:
    return torch.arange(len(row), device=row.device)


def _back(order: Tensor, values: Tensor) -> Tensor:
    """What belongs to sorted numbers, where they came from, (B · N,)."""
    return torch.empty_like(values).scatter_(0, order, values)


def _descending_order(key: Tensor) -> Tensor:
    """Places of each row by falling key, ties in their order, (B, N) -> (B, N) int64."""
    row = _row_of(key)
    return _order(_falling(key), row).view(key.shape) - row * key.shape[-1]


def _order(*keys: Tensor) -> Tensor:
    """Places of all numbers in one row, by the last key, then the one before it, and so on: (B, N) each -> (B · N,).

    One stable sort a key, the least significant first. Whole numbers in one row are what a radix sort takes: on a CPU
    it is several times as fast as a sort of floats, or of rows.
    """
    order = keys[0].flatten().sort(stable=True).indices
    for key in keys[1:]:
        order = order[key.flatten()[order].sort(stable=True).indices]
    return order


def _row_of(key: Tensor) -> Tensor:
    return torch.arange(len(key), dtype=torch.int32, device=key.device).unsqueeze(-1).expand_as(key)


def _falling(key: Tensor) -> Tensor:
    """Whole numbers that fall where the key rises; NaN is the largest key, as in `torch.sort`.

    The bits of floats rise with them, as those of whole numbers do, but fall below 0.
    """
    if not key.is_floating_point():
        return ~key
    key = at_least_float32(torch.where(key.isnan(), torch.nan, key + 0))  # one NaN; -0 + 0 is 0
    whole, sign = (torch.int64, 63) if key.dtype == torch.float64 else (torch.int32, 31)
    bits = key.view(whole)
    return ~(bits ^ ((bits >> sign) & torch.iinfo(whole).max))
