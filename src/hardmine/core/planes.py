"""Cross entropy of pixels: logits whose classes lie in planes, one after the other, as a convolution gives them.

There (B, N, C) is a view of (B, C, N), and stays one: to bring the classes of each pixel together would copy all of
them. And where few pixels count, as under hard mining, the gradient of the others is known to be 0 before it is worked
out: on a CPU that is the larger part of the time.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from hardmine.core.rank_in_groups import looking_is_free
from hardmine.core.samples import IGNORE

__all__ = ["cross_entropy_of_planes", "lies_in_planes", "sees_only_valid"]

FEW = 0.5
"""Share of the pixels with a gradient up to which these are picked out; above it all are worked out."""


def lies_in_planes(logits: Tensor) -> bool:
    """Whether logits (B, N, C) are a view of (B, C, N) in one stretch."""
    return not logits.is_contiguous() and logits.transpose(1, 2).is_contiguous()


def sees_only_valid(logits: Tensor) -> bool:
    """Whether `cross_entropy_of_planes` will take these logits, and so let nothing through that ignored ones hold."""
    return looking_is_free(logits) and lies_in_planes(logits)


def cross_entropy_of_planes(logits: Tensor, column: Tensor) -> Tensor:
    """-ln softmax(z)_label of logits (B, N, C) that lie in planes, given columns (B, N) or IGNORE; (B, N)."""
    planes = logits.transpose(1, 2)
    return _OfPlanes.apply(planes, column) if looking_is_free(logits) else _cross_entropy(planes, column)


def _cross_entropy(planes: Tensor, column: Tensor) -> Tensor:
    return F.cross_entropy(planes, column, ignore_index=IGNORE, reduction="none")


class _OfPlanes(torch.autograd.Function):
    """Keeps the logits for the backward pass, which are there anyway, and not their logarithmic softmax."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor, column: Tensor) -> Tensor:
        ctx.save_for_backward(planes, column)
        return _cross_entropy(planes, column)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the names)
        ctx: Any, outer: Tensor
    ) -> tuple[Tensor, None]:
        planes, column = ctx.saved_tensors
        # only where looking is free, which is on a CPU (`cross_entropy_of_planes`): no device is waited for
        if int(outer.count_nonzero()) > FEW * outer.numel():
            return _gradient(planes, column, outer), None
        gradient = torch.zeros_like(planes)
        # image by image: one gather for the batch would first bring each pixel's classes together, and copy them all
        for row, places in enumerate(of_row.nonzero().squeeze(1) for of_row in outer):
            picked = planes[row].index_select(1, places)[None], column[row, places][None], outer[row, places][None]
            gradient[row].index_copy_(1, places, _gradient(*picked)[0])
        return gradient, None


def _gradient(planes: Tensor, column: Tensor, outer: Tensor) -> Tensor:
    """(softmax - one-hot) times the outer gradient, 0 where that is 0, whatever the logits are there."""
    gradient = planes.softmax(dim=1).mul_(outer.unsqueeze(1))
    gradient.scatter_add_(1, column.clamp_min(0).unsqueeze(1), -outer.unsqueeze(1))
    # on a CPU alone, too: ignored pixels are few, and a mask over all classes is a pass over every logit
    for row, of_row in zip(gradient, column == IGNORE, strict=True):
        row.index_fill_(1, of_row.nonzero().squeeze(1), 0)
    return gradient
