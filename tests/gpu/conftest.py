"""The devices that are not the CPU: a GPU where there is one, and everywhere one that is pretended.

The methods and their inputs are those of the contract.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.contract.conftest import (  # noqa: F401 (fixtures)
    anchors,
    assigner,
    classification_loss,
    ground_truth,
    labels,
    levels,
    listwise_loss,
    matched_gt,
    normalizer,
    predictions,
    regression_loss,
    sampling,
)
from tests.pretended_device import PretendedDevice

MOST_NOISE = 1 << 15
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}
"""Powers and exponentials of a GPU differ from a CPU's in their last bits, and more where these cancel."""
OF_TORCH_ITSELF = ("ignore:Synchronization debug mode is a prototype:UserWarning", "ignore::UserWarning:torch")
"""What torch says of its own doings on a GPU, and where it compiles."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu"):
            for message in OF_TORCH_ITSELF:
                item.add_marker(pytest.mark.filterwarnings(message))
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="this machine has no CUDA device"))


@dataclass(frozen=True)
class Place:
    """A device, and what makes it an error there that the host waits for it."""

    device: torch.device
    waiting_is_an_error: Callable[[], AbstractContextManager[None]]


@contextmanager
def _waiting_for_cuda_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(params=["pretended", pytest.param("cuda", marks=pytest.mark.gpu)])
def place(request) -> Iterator[Place]:
    if request.param == "cuda":
        yield Place(torch.device("cuda"), _waiting_for_cuda_is_an_error)
        return
    with PretendedDevice() as pretended:
        yield Place(pretended.device, pretended.waiting_is_an_error)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> torch.device:
    """For what a pretended device cannot do: whole trainings, and compilation."""
    return torch.device(request.param)


@pytest.fixture
def same_noise(place, monkeypatch) -> None:
    """What is drawn on a device, (B, N), is the same there and on the CPU, and lies there already."""
    rand, noise = torch.rand, torch.rand(MOST_NOISE)
    of = {kind.type: noise.to(kind) for kind in (place.device, noise.device)}

    def drawn(*shape: Any, device: torch.device | None = None) -> Tensor:
        return rand(*shape) if device is None else of[device.type][: shape[0].numel()].view(shape[0])

    monkeypatch.setattr(torch, "rand", drawn)


@pytest.fixture
def moved() -> Callable[[Any, torch.device], Any]:
    return _moved


def _moved(value: Any, device: torch.device) -> Any:
    """The same with all its tensors on the device; a module is copied first."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, nn.Module):
        return deepcopy(value).to(device)
    if is_dataclass(value):
        return replace(value, **{field.name: _moved(getattr(value, field.name), device) for field in fields(value)})
    if isinstance(value, dict):
        return {name: _moved(each, device) for name, each in value.items()}
    return type(value)(_moved(each, device) for each in value) if isinstance(value, list | tuple) else value


@pytest.fixture
def check_call(place) -> Callable[..., None]:
    """Calls a method there and on the CPU: results, gradients and what it remembers agree, and the host never waits.

    call: (method, *inputs) -> tensors.  on_device: whether it must not wait.
    """

    def check(call: Callable[..., Any], method: nn.Module, *inputs: Any, on_device: bool = True) -> None:
        own, there, inputs_there = deepcopy(method), _moved(method, place.device), _moved(inputs, place.device)
        with place.waiting_is_an_error() if on_device else nullcontext():
            found = call(there, *inputs_there)
        expected = call(own, *inputs)
        assert {each.device.type for each in (*found, *there.buffers())} == {place.device.type}
        found, state = _moved([list(found), list(there.buffers())], torch.device("cpu"))
        torch.testing.assert_close(found, list(expected), **ROUNDING)
        torch.testing.assert_close(state, list(own.buffers()), **ROUNDING)

    return check
