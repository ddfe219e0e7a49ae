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
"""

import torch
from torch import Tensor

from hardmine.samples import Assignment

__all__ = [
    "hierarchical_local_rank",
    "rank_in_groups",
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
