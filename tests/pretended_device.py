"""A device for machines without one: its tensors hold real values, and behave as those of a GPU where devices differ.

While a `PretendedDevice` is entered, tensors on its `device` compute on the CPU. So what a method gives there can be
compared with what it gives on the CPU, although it takes the branches of devices that are not the CPU. An operation on
tensors of two devices is an error. Under `waiting_is_an_error` so is all that makes the host wait for a GPU: a copy
from or to the host, be it of one number, and an operation whose result, or its shape, depends on values.

As on a GPU, a CPU tensor of a single number may stand among others where each number is worked on by itself; `where`
is left out of that, because it would copy the number first.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import FrameSummary, extract_stack
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

__all__ = ["PretendedDevice", "WaitsError"]

TORCH = f"{Path(torch.__file__).parent}{os.sep}"
DEVICE = torch.device("lazy:0")
"""A kind that no build of torch can compute on, but whose gradients autograd works out in the thread that asks."""
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
DEPENDS_ON_VALUES = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
INDEXING = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default}
"""Tagged as depending on values, which they do only where a mask is among the indices."""


class WaitsError(RuntimeError):
    """The host would have waited for the device."""


class _Held(Tensor):
    """A tensor on the pretended device."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "_Held":
        held = Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), dtype=values.dtype, device=DEVICE
        )
        held.values = values
        return held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on the pretended device, which has been left")


class PretendedDevice(TorchDispatchMode):
    """There while it is entered; see the module.

    waits: where the host has waited for it, the innermost line outside of torch each.
    """

    device: ClassVar[torch.device] = DEVICE

    def __init__(self) -> None:
        super().__init__()
        self.may_wait = True
        self.waits: list[FrameSummary] = []

    @contextmanager
    def waiting_is_an_error(self) -> Iterator[None]:
        self.may_wait = False
        try:
            yield
        finally:
            self.may_wait = True

    def __enter__(self) -> "PretendedDevice":
        self.lifted_before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # makes of torch.tensor(..., device=...) a copy that is seen here
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(self.lifted_before)
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, is_held = kwargs or {}, _Held in types
        ends_here = _is_here(kwargs["device"]) if kwargs.get("device") else is_held
        if not (is_held or ends_here):
            return func(*args, **kwargs)
        if func.namespace == "hardmine":  # an operation of our own: what it does on a device
            with self:
                return OPDEFS[func.name()]._init_fn(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        self._check(func, tensors, ends_here and all(isinstance(t, _Held) or _is_number(func, t) for t in tensors))
        result = func(*tree_map(_on_the_cpu, args), **tree_map(_on_the_cpu, kwargs))
        if not ends_here:
            return result
        return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, _Held, result))

    def _check(self, func: Any, tensors: list[Tensor], stays_here: bool) -> None:
        if not (stays_here or func in COPIES):
            raise RuntimeError(f"{func}: tensors on two devices")
        if not stays_here or _depends_on_values(func, tensors):
            self.waits.append(_caller())
            if not self.may_wait:
                raise WaitsError(f"{func} makes the host wait for the device")


def _caller() -> FrameSummary:
    return next(frame for frame in reversed(extract_stack()) if not frame.filename.startswith((TORCH, __file__)))


def _is_number(func: Any, tensor: Tensor) -> bool:
    return tensor.ndim == 0 and torch.Tag.pointwise in func.tags and func is not torch.ops.aten.where.self


def _is_here(device: torch.device) -> bool:
    return device.type == DEVICE.type


def _on_the_cpu(argument: Any) -> Any:
    if isinstance(argument, _Held):
        return argument.values
    return torch.device("cpu") if isinstance(argument, torch.device) else argument


def _depends_on_values(func: Any, tensors: list[Tensor]) -> bool:
    if func in INDEXING:
        return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors[1:])
    return func.name() == "torchvision::nms" or not DEPENDS_ON_VALUES.isdisjoint(func.tags)
