"""One operation, done by us and by others, on the same inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import alternate, milliseconds, peak_bytes, written_bytes

__all__ = ["Case", "measure", "with_gradient"]

Answer = Sequence[Tensor]
Operation = Callable[[], Answer]
MEGABYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is compared.

    ours, compiled: calls that give the answer; compiled, where there is such, is a call through `hardmine.compile`.
    peers: by name, those that answer the same; a name says what was run, or "loop from the paper".
    unit: the tensor whose copy is the unit of time and of bytes.  tolerance: relative, of the answers.
    agree: how the answers are compared where numbers cannot be, such as random choices; a word on the difference or "".
    """

    group: str
    operation: str
    size: str
    ours: Operation
    peers: Mapping[str, Operation]
    unit: Tensor
    compiled: Operation | None = None
    tolerance: float = 1e-4
    agree: Callable[[Answer, Answer], str] | None = None
    note: str = ""
    rounds: int | None = field(default=None)


def with_gradient(
    function: Callable[..., Tensor], of: Tensor, *others: Any, before: Callable[[], object] = bool
) -> Operation:
    """Forward and backward: the value of function(of, *others), and its gradient to ``of``.

    before: is called first, to take back what a call remembers.
    """
    leaf = of.detach().clone().requires_grad_()

    def run() -> Answer:
        leaf.grad = None
        before()
        value = function(leaf, *others)
        value.backward()
        return value.detach(), leaf.grad  # pyright: ignore[reportReturnType]

    return run


def measure(case: Case, rounds: int) -> list[dict[str, Any]]:
    """A row for each peer."""
    rounds = case.rounds or rounds
    answer = case.ours()
    variants = {"eager": case.ours} | ({} if case.compiled is None else {"compiled": case.compiled})
    best = min(variants, key=lambda name: milliseconds(variants[name], 3))
    ours = variants[best]
    copy = torch.empty_like(case.unit)
    copy_ms = milliseconds(lambda: copy.copy_(case.unit), 9)
    facts = {
        "group": case.group,
        "operation": case.operation,
        "size": case.size,
        "ours": best,
        "other_ms": {name: milliseconds(call, rounds) for name, call in variants.items() if name != best},
        "compiled_differs": "" if case.compiled is None else _difference(case, case.compiled(), answer),
        "note": case.note,
    }
    memory = _memory(ours, case.unit)
    return [facts | _against(case, ours, peer, answer, rounds, copy_ms) | memory | {"peer": name}
            for name, peer in case.peers.items()]  # fmt: skip


def _against(
    case: Case, ours: Operation, peer: Operation, answer: Answer, rounds: int, copy_ms: float
) -> dict[str, Any]:
    timing = alternate(ours, peer, rounds)
    of_peer = {f"peer_{name}": value for name, value in _memory(peer, case.unit).items()}
    return {
        **asdict(timing),
        **of_peer,
        "copies": timing.ours_ms / copy_ms,
        "differs": _difference(case, answer, peer()),
    }


def _memory(call: Operation, unit: Tensor) -> dict[str, float]:
    copy = unit.numel() * unit.element_size()
    return {"peak_mb": peak_bytes(call) / MEGABYTE, "written_copies": written_bytes(call) / copy}


def _difference(case: Case, ours: Answer, theirs: Answer) -> str:
    """What is not the same, in words; nothing where all is."""
    if case.agree is not None:
        return case.agree(ours, theirs)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if not (error := _relative(one.double(), other.double())) <= case.tolerance:
            return f"answer {number} is off by {error:.1e}"
    return ""


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp_min(1e-30))
