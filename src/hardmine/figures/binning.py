"""How much of something lies where."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hardmine.diagnosis.bins import LOW_IOU, names_of_bins
from hardmine.figures.figure import Series

__all__ = ["IOU_BINS", "by_iou", "share_of_bins", "sum_of_bins"]

IOU_EDGES = (LOW_IOU, 0.1, 0.2, 0.3, 0.4, 0.5)
IOU_BINS = names_of_bins(IOU_EDGES)


def sum_of_bins(values: Tensor, amounts: Tensor, edges: Sequence[float]) -> Tensor:
    """Sum of the amounts at values below the first edge, between two, and from the last on."""
    place = torch.bucketize(values.double(), torch.tensor(edges, dtype=torch.float64), right=True)
    return torch.zeros(len(edges) + 1, dtype=torch.float64).scatter_add_(0, place, amounts.double())


def share_of_bins(values: Tensor, amounts: Tensor, edges: Sequence[float]) -> list[float]:
    """The same as shares of the whole; all 0 if there is nothing."""
    sums = sum_of_bins(values, amounts, edges)
    return (sums / sums.sum().clamp_min(torch.finfo(sums.dtype).tiny)).tolist()


def by_iou(name: str, iou: Tensor, amounts: Tensor) -> Series:
    """Bars over `IOU_BINS`."""
    return Series(name, range(len(IOU_BINS)), share_of_bins(iou, amounts, IOU_EDGES), "bars")
