"""Values that come with their slopes by a formula, instead of by autograd through all that the values were made of."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Sloped", "held_fixed", "with_slope"]

Sloped = tuple[Tensor, Callable[[], Tensor]]
"""Values, and what gives their slopes by a formula of its own: it is asked only where a gradient is wanted, and may use
what the values were made of."""


def with_slope(function: Callable[..., Sloped], argument: Tensor, *others: Tensor) -> Tensor:
    """function(argument, *others), each value of one number of the argument, or of one row, with gradient to that.

    The slope, of the shape of the argument, is all that is kept for the backward pass. A compiler is given the values
    alone, and finds their slope by itself. The slope has no slope of its own: second derivatives are refused.

    others: have no gradient.
    """
    if torch.compiler.is_compiling():
        return function(argument, *others)[0]
    return _WithSlope.apply(function, argument if torch.is_grad_enabled() else argument.detach(), *others)


def held_fixed(value: Tensor) -> Sloped:
    """A value that no gradient goes through."""
    return value.detach(), lambda: torch.zeros_like(value)


class _WithSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Sloped], argument: Tensor, *others: Tensor) -> Tensor:
        value, slope = function(argument, *others)
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(slope())
        return value

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the names)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        (slope,), (gradient,) = ctx.saved_tensors, grad_outputs
        return None, _times(gradient, slope), *[None] * (len(ctx.needs_input_grad) - 2)


def _times(gradient: Tensor, slope: Tensor) -> Tensor:
    """Each gradient by the slope of its number or row; in order, or a leaf would copy it into order."""
    if gradient.ndim == slope.ndim:
        return gradient * slope
    in_order = torch.empty_like(slope, memory_format=torch.contiguous_format)
    return torch.mul(gradient.unsqueeze(-1), slope, out=in_order)
