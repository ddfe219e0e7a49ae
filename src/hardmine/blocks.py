"""What is said of each logit by itself, with its slope, block by block: what one block needs stays in the cache."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hardmine.samples import IGNORE

__all__ = ["by_blocks"]

OfLogits = Callable[..., Tensor]

BLOCK = {"cpu": 1 << 18}
"""Logits in a block: some temporaries of so many fit into the cache of a CPU core or two."""
LAUNCHES_PAY = 1 << 22
"""On other devices a block has to be worth the launch of its kernels, and only saves memory."""


def by_blocks(function: OfLogits, logits: Tensor, labels: Tensor, *evidence: Tensor) -> Tensor:
    """function(logits, labels, *evidence) of each logit (B, N, C) by itself: a loss, or a soft weight.

    The logits of ignored samples are given to it as 0, and what it says of them is put at 0, because 0 · inf is NaN.

    Value and slope of a block are found together, so that the slope is all that is kept for the backward pass, once
    the size of the logits. A compiler does as much by itself, and is left to it. The slope has no slope of its own:
    second derivatives are refused.

    labels, evidence: (B, N) each; has no gradient.
    """
    if torch.compiler.is_compiling():
        return _of_valid(function, logits, labels, *evidence)
    return _ByBlocks.apply(function, logits if torch.is_grad_enabled() else logits.detach(), labels, *evidence)


def _of_valid(function: OfLogits, logits: Tensor, labels: Tensor, *evidence: Tensor) -> Tensor:
    valid = (labels != IGNORE).unsqueeze(-1)
    return torch.where(valid, function(torch.where(valid, logits, 0), labels, *evidence), 0)


class _ByBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: OfLogits, logits: Tensor, *evidence: Tensor) -> Tensor:
        if not ctx.needs_input_grad[1]:
            return _filled(logits, (_of_valid(function, *rows) for rows in _blocks(logits, *evidence)))
        slope = _blank(logits)
        ctx.save_for_backward(slope)
        values = zip(_blocks(logits, *evidence), _blocks(slope), strict=True)
        return _filled(logits, (_with_slope(function, rows, into) for rows, (into,) in values))

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the names)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        (slope,), (gradient,) = ctx.saved_tensors, grad_outputs
        return None, gradient * slope, *[None] * (len(ctx.needs_input_grad) - 2)


def _blocks(logits: Tensor, *evidence: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The rows of all of them, some at a time."""
    size = BLOCK.get(logits.device.type, LAUNCHES_PAY)
    rows = max(1, size // max(1, logits.shape[-1]))
    return zip(logits.flatten(0, 1).split(rows), *(each.flatten().split(rows) for each in evidence), strict=True)


def _blank(logits: Tensor) -> Tensor:
    """Of the same shape, and in one stretch, so that its blocks are views of it."""
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _with_slope(function: OfLogits, rows: tuple[Tensor, ...], into: Tensor) -> Tensor:
    logits = rows[0].detach().requires_grad_()
    with torch.enable_grad():
        value = _of_valid(function, logits, *rows[1:])
    into.copy_(torch.autograd.grad(value, logits, torch.ones_like(value))[0])
    return value.detach()


def _filled(logits: Tensor, values: Iterator[Tensor]) -> Tensor:
    result = _blank(logits)
    for (into,), value in zip(_blocks(result), values, strict=True):
        into.copy_(value)
    return result
