"""What a property of a contract is, and how one says that it is broken."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from hardmine.errors import HardmineError

__all__ = ["CAPTURED", "Contract", "ContractError", "captured", "check", "require", "require_close", "require_equal"]

Contract = Mapping[str, Callable[[Any], None]]
"""Properties by name: each takes a method that has not been called, and raises ContractError where it is broken."""

CAPTURED = "is captured as one graph, once"
"""The property of methods that do not wait for the device, and that alone."""
SEED = 0


class ContractError(HardmineError, AssertionError):
    """A method breaks a property that all methods have. Names the property, the situation, and what was got."""


def check(method: nn.Module, contract: Contract) -> None:
    """Holds a method to a contract; each property is shown a copy of it, and the same randomness.

    Raises: ContractError: the first property that is broken, with the method's name.
    """
    for name, holds in contract.items():
        if name != CAPTURED or getattr(method, "on_device", True):
            with torch.random.fork_rng(devices=[]), _named(method, name):
                torch.default_generator.manual_seed(SEED)
                holds(deepcopy(method))


@contextmanager
def _named(method: nn.Module, name: str) -> Iterator[None]:
    """What goes wrong within is said of the method and the property."""
    try:
        yield
    except Exception as error:
        said = str(error) if isinstance(error, ContractError) else f"raised {type(error).__name__}: {error}"
        raise ContractError(f"{type(method).__name__} breaks {name!r}: {said}") from error


def require(holds: Tensor | bool, said: str) -> None:
    """Raises: ContractError: not all of it holds."""
    if not bool(torch.as_tensor(holds).all()):
        raise ContractError(said)


def require_equal(found: Tensor, expected: Tensor, said: str) -> None:
    """Raises: ContractError: the two differ in any bit, or in their shape."""
    _require_close(found, expected, said, tolerance=0)


def require_close(found: Any, expected: Any, said: str) -> None:
    """Raises: ContractError: the two differ by more than rounding."""
    _require_close(found, expected, said, tolerance=None)


def _require_close(found: Any, expected: Any, said: str, tolerance: float | None) -> None:
    try:
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    except AssertionError as error:
        raise ContractError(f"{said}; {error}") from None


@contextmanager
def captured(method: Callable) -> Iterator[Callable]:
    """The method as one graph; a break of it, or a second compilation of anything, is an error."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`create_unbacked_symint`", FutureWarning)  # torchvision's nms, in tracing
        yield torch.compile(method, fullgraph=True, backend="aot_eager")
