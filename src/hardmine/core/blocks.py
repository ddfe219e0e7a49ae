"""What is said of each logit by itself, with its slope, block by block: what one block needs stays in the cache."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from hardmine.core.samples import IGNORE
from hardmine.core.slopes import Sloped, with_slope

__all__ = ["by_blocks"]

OfLogits = Callable[..., Sloped]

BLOCK = {"cpu": 1 << 18}
"""Logits in a block: some temporaries of so many fit into the cache of a CPU core or two."""
SAVES_MEMORY = 1 << 26
"""On other devices each block costs the launch of all its kernels, and only saves memory: 256 MiB a temporary."""


def by_blocks(function: OfLogits, logits: Tensor, labels: Tensor, *evidence: Tensor) -> Tensor:
    """function(logits, labels, *evidence) of each logit (B, N, C) by itself: a loss, or a soft weight.

    The logits of ignored samples are given to it as the least number there is, finite and as sure as can be that no
    class is there: a loss and its slope are exactly 0 then.

    The slope is all that is kept for the backward pass, and has no slope of its own; see `slopes.with_slope`.

    labels, evidence: (B, N) each; has no gradient.
    """
    if torch.compiler.is_compiling():
        return _of_valid(function, logits, labels, *evidence)[0]
    wants_slope = logits.requires_grad and torch.is_grad_enabled()
    return with_slope(partial(_in_blocks, function, wants_slope), logits, labels, *evidence)


def _of_valid(function: OfLogits, logits: Tensor, labels: Tensor, *evidence: Tensor) -> Sloped:
    ignored = (labels == IGNORE).unsqueeze(-1)
    return function(logits.masked_fill(ignored, torch.finfo(logits.dtype).min), labels, *evidence)


def _in_blocks(function: OfLogits, wants_slope: bool, logits: Tensor, *evidence: Tensor) -> Sloped:
    """Values, and their slopes where wanted; what is one block anyway is not taken apart and put together."""
    size = BLOCK.get(logits.device.type, SAVES_MEMORY)
    if logits.numel() <= size:
        return _of_valid(function, logits, *evidence)
    value = _blank(logits)
    slopes = _blank(logits) if wants_slope else value
    places = zip(_blocks(size, value), _blocks(size, slopes), strict=True)
    for rows, ((of_value,), (of_slope,)) in zip(_blocks(size, logits, *evidence), places, strict=True):
        found, slope = _of_valid(function, *rows)
        if wants_slope:
            of_slope.copy_(slope())
        of_value.copy_(found)
    return value, lambda: slopes


def _blocks(size: int, logits: Tensor, *evidence: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The rows of all of them, some at a time."""
    rows = max(1, size // max(1, logits.shape[-1]))
    return zip(logits.flatten(0, 1).split(rows), *(each.flatten().split(rows) for each in evidence), strict=True)


def _blank(logits: Tensor) -> Tensor:
    """Of the same shape, and in one stretch, so that its blocks are views of it."""
    return torch.empty_like(logits, memory_format=torch.contiguous_format)
