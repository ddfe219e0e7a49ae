"""Compilation of losses where the machine can: one pass over the logits for value, weights and gradient."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hardmine.detectors.head import Head

__all__ = ["compile"]

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
    does so once more.

    Where there is no compiler for the device (a C++ compiler for a CPU, Triton for a GPU), the part is given back as it
    is, and a line is logged at level INFO.

    Args: device: where it will run; None for that of the first tensor of a module, or else the accelerator, if any.
    """
    if not _has_compiler(_device_type(part, device)):
        return part
    if not isinstance(part, nn.Module):
        return torch.compile(part, options=AS_EAGER)
    for module in [head for head in part.modules() if isinstance(head, Head)] or [part]:
        module.compile(options=AS_EAGER)
    return part  # pyright: ignore[reportReturnType] (narrowed to a module)


def _device_type(part: Callable[..., Any], device: torch.device | str | None) -> str:
    if device is not None:
        return torch.device(device).type
    tensors = [*part.parameters(), *part.buffers()] if isinstance(part, nn.Module) else []
    if tensors:
        return tensors[0].device.type
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator is None else accelerator.type


@cache
def _has_compiler(device_type: str) -> bool:
    """Whether a first small function compiles; what is missing where it does not, each platform says in its own way."""
    try:
        torch.compile(_probe, options=AS_EAGER)(torch.zeros(8, device=device_type))
    except Exception as reason:
        logger.info("not compiled, there is no working compiler for %s: %s", device_type, reason)
        return False
    return True


def _probe(values: Tensor) -> Tensor:
    return values.sigmoid() * 2
