"""Compilation of losses where the machine can: one pass over the logits for value, weights and gradient."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hardmine.core.samples import GroundTruth
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.head import Head, HeadLosses, HeadOutput
from hardmine.equation.pixel_head import PixelHead

__all__ = ["compile", "has_compiler"]

Part = TypeVar("Part", bound=Callable[..., Any])

AS_EAGER: dict[str, Any] = {"fallback_random": True}  # the same random numbers, whether it is compiled or not

logger = logging.getLogger(__name__)


def compile(part: Part, device: torch.device | str | None = None) -> Part:
    """Makes one pass over the logits of all that a loss, a slot or a detector's losses do to them.

        detector = hardmine.compile(hardmine.wrap(model, recipe))     # every head: weights, losses, normalisers
        focal = hardmine.compile(hardmine.Focal())                    # a part by itself
        loss = hardmine.compile(my_weighted_sum)                      # any function of yours

    A module is compiled in place and stays what it is: class, state_dict, copies. Of a detector only the heads are
    compiled, which begin where the framework's own model ends. A function is given back as a new one. Results are the
    same up to rounding, random choices included. The first call takes seconds to a minute; a second, with other shapes,
    does so once more. The number of objects is no such shape: heads are compiled for any.

    Losses that a framework computes itself (YOLO, DETR) stay as they are, and so do the weights multiplied into them.

    Where there is no compiler for the device (a C++ compiler for a CPU, Triton for a GPU), the part is given back as it
    is, and a line is logged at level INFO.

    Args: device: where it will run; None for that of the first tensor of a module, or else the accelerator, if any.
    """
    if not has_compiler(_device_type(part, device)):
        return part
    if not isinstance(part, nn.Module):
        return torch.compile(part, options=AS_EAGER)
    heads = [head for head in part.modules() if isinstance(head, Head | FrameworkHead | PixelHead)]
    for head in heads:
        if isinstance(head, Head):
            _compile_head(head)
        elif isinstance(head, PixelHead):
            head.compile(options=AS_EAGER)
    if not heads:
        part.compile(options=AS_EAGER)
    return part  # pyright: ignore[reportReturnType] (narrowed to a module)


def _compile_head(head: Head) -> None:
    head.compile(options=AS_EAGER)
    compiled: Any = head._compiled_call_impl

    def call(output: HeadOutput, ground_truth: GroundTruth, *others: Any, **named: Any) -> HeadLosses:
        return compiled(output, _of_any_number(ground_truth), *others, **named)

    head._compiled_call_impl = call


def _of_any_number(ground_truth: GroundTruth) -> GroundTruth:
    """The same, so marked that a graph made for it holds for any number of objects."""
    columns = {name: getattr(ground_truth, name) for name in ("boxes", "labels", "is_object", "weights", "missed")}
    return replace(ground_truth, **{name: _of_any_length(of) for name, of in columns.items() if of is not None})


def _of_any_length(column: Tensor) -> Tensor:
    """With the second axis free. One of length 1 would not be: a compiler takes it for one that never changes."""
    if column.shape[1] == 1:
        column = torch.cat([column, torch.zeros_like(column)], dim=1)
    torch._dynamo.maybe_mark_dynamic(column, 1)
    return column


def _device_type(part: Callable[..., Any], device: torch.device | str | None) -> str:
    if device is not None:
        return torch.device(device).type
    tensors = [*part.parameters(), *part.buffers()] if isinstance(part, nn.Module) else []
    if tensors:
        return tensors[0].device.type
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator is None else accelerator.type


@cache
def has_compiler(device_type: str) -> bool:
    """Whether a first small function compiles on such a device ("cpu", "cuda").

    What is missing where it does not, each platform says in its own way.
    """
    try:
        torch.compile(_probe, options=AS_EAGER)(torch.zeros(8, device=device_type))
    except Exception as reason:
        logger.info("not compiled, there is no working compiler for %s: %s", device_type, reason)
        return False
    return True


def _probe(values: Tensor) -> Tensor:
    return values.sigmoid() * 2
