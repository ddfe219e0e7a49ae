"""Sums over the processes of a data-parallel run; without one, everything stays as it is."""

import torch.distributed as dist
from torch import Tensor

__all__ = ["mean_over_ranks", "sum_over_ranks"]


def sum_over_ranks(total: Tensor) -> Tensor:
    """The sum of all ranks' tensors, without gradient; a new tensor."""
    total = total.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total


def mean_over_ranks(total: Tensor) -> Tensor:
    """max(1, sum over all ranks) / world size; without torch.distributed, max(1, total)."""
    world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    return sum_over_ranks(total).clamp_min(1) / world
