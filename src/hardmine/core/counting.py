"""How often each of a few whole numbers occurs among millions."""

import torch
from torch import Tensor

from hardmine.core.ranks import sum_over_ranks

__all__ = ["count_over_ranks"]


def count_over_ranks(places: Tensor, num: int) -> Tensor:
    """Occurrences of 0..num-1 on all ranks, (num,) int64; ``num`` itself stands for what is not to be counted.

    places: any shape, of whole numbers 0..num.
    """
    return sum_over_ranks(_occurrences(places, num))


@torch.library.custom_op("hardmine::occurrences", mutates_args=())
def _occurrences(places: Tensor, num: int) -> Tensor:
    """One operation to a compiler, whose own scatter on a CPU would be an atomic addition for every number."""
    if places.device.type == "cpu":
        small = places.to(torch.uint8) if num <= torch.iinfo(torch.uint8).max else places  # faster by far
        return torch.bincount(small.flatten(), minlength=num + 1)[:num].clone()
    one = torch.ones((), dtype=torch.int64, device=places.device)  # a bincount would wait for the largest place
    counts = torch.zeros(num + 1, dtype=torch.int64, device=places.device)
    return counts.scatter_add_(0, places.flatten().long(), one.expand(places.numel()))[:num].clone()


@_occurrences.register_fake
def _(places: Tensor, num: int) -> Tensor:
    return places.new_empty(num, dtype=torch.int64)
