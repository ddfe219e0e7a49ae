"""What does each method cost on a device? Kernels and bytes, counted without one.

Methods run on torch's meta device, where tensors have shapes and no values: every operation that reaches the dispatcher
and is no view is one kernel, which reads its arguments and writes its results. "dispatched" counts the views too: they
launch nothing, and cost the host as much as a launch. What waits for the host (`.item()`, a boolean mask as an index)
cannot run there, so a run that ends is the proof that there is no other host synchronisation than the "waits" that are
counted: a method that asks where a mask is true (`Tensor.nonzero`) is told of as many places as there are positives. A
test holds that what waits says so of itself (`on_device`).

One image, one class, 122,760 samples (RetinaNet at 800 x 1333 has as many in each image) and 100 objects or positives;
a loss is counted forward + backward, so is a sampling through whose weights gradient flows. "copies" is what is
written, in times of the logits.

    python -m benchmarks.device_cost           counts and prints
    python -m benchmarks.device_cost --write   and keeps the counts in results/device_cost.json, which a test holds: a
                                               method may become cheaper, never dearer
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.scaling import MAKERS, Size, methods

RESULT = Path(__file__).parent / "results" / "device_cost.json"
SIZE = Size(samples=122_760, positives=100)
NO_KERNEL = frozenset(
    {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias", "lift_fresh"}
)
"""Operations that are no views and launch nothing."""
WAITS = "nonzero"
"""The operation whose wait for the host is counted."""
HOST = "waits for the host"


@dataclass(frozen=True, slots=True)
class Target:
    """The most that a method should cost."""

    kernels: int
    copies: float = math.inf

    def __str__(self) -> str:
        return f"{self.kernels}" if self.copies == math.inf else f"{self.kernels}, {self.copies} copies"


TARGETS = {
    name: target
    for target, names in (
        (Target(10), "CrossEntropy BalancedCE Focal QFL VFL MAL IABCE SmoothL1 BalancedL1 ASL1"),
        (Target(10), "FocalFactor QualityWeight ClassBalanced"),
        (Target(40), "IoU GIoU DIoU CIoU"),
        (Target(30), "GHMC GHMR"),
        (Target(40), "Random RandomBalanced HardNegative HardPool IoUBalanced InstanceBalanced SOHEM PixelOHEM"),
        (Target(120, 40), "APLoss ALRP"),
        (Target(250, 60), "RankSort"),
        (Target(60), "MaxIoU"),
        (Target(120), "ATSS FCOSPoints TaskAligned"),
        (Target(200), "SimOTA"),
    )
    for name in names.split()
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Kernels, kernels and views, bytes read and written by the kernels, and how often the host waits for them."""

    kernels: int
    dispatched: int
    read: int
    written: int
    waits: int


class Counted(TorchDispatchMode):
    """Counts what is launched while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.dispatched = self.read = self.written = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        results = _places(*args) if name == WAITS and args[0].is_meta else func(*args, **(kwargs or {}))
        self.dispatched += 1
        if not func.is_view and name not in NO_KERNEL:
            self.kernels[name] += 1
            self.read += _bytes((args, kwargs))
            self.written += _bytes(results)
        return results

    @property
    def cost(self) -> Cost:
        return Cost(self.kernels.total(), self.dispatched, self.read, self.written, waits=self.kernels[WAITS])


def _places(mask: Tensor) -> Tensor:
    """Where a mask is true, if that is where the positives are."""
    return mask.new_empty(SIZE.positives, mask.ndim, dtype=torch.int64)


def _bytes(values: Any) -> int:
    """Of all tensors, each as large as what it shows of its storage; what is broadcast is read once."""
    return sum(_stored(value) for value in tree_leaves(values) if isinstance(value, Tensor))


def _stored(tensor: Tensor) -> int:
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return torch.Size(sizes).numel() * tensor.element_size()


def count(function: Callable[[], object]) -> Cost:
    """What a call launches on the meta device, after one that is not counted.

    Raises: RuntimeError, NotImplementedError: it waits for the host, otherwise than by `Tensor.nonzero`.
    """
    with Counted():
        function()
    with Counted() as counted:
        function()
    return counted.cost


def count_or_none(function: Callable[[], object]) -> Cost | None:
    """As `count`; None of what waits for the host."""
    try:
        return count(function)
    except (RuntimeError, NotImplementedError):
        return None


def cost_of(method: nn.Module) -> Cost | None:
    """Of a method on `SIZE`, with its own state on the device; None if it waits for the host."""
    make = next(maker for base, (_, maker) in MAKERS.items() if isinstance(method, base))
    with torch.device("meta"):
        return count_or_none(make(method.to("meta"), SIZE))


def costs() -> dict[str, Cost | None]:
    """Of every public method by name."""
    return {name: cost_of(method) for name, method in methods()}


def as_kept(cost: Cost | None) -> dict[str, int] | None:
    return None if cost is None else asdict(cost)


def write(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps({"torch": torch.__version__, **facts}, indent=1) + "\n")


def table(found: dict[str, Cost | None]) -> Table:
    shown = Table("method", "kernels", "dispatched", "waits", "MB read", "MB written", "copies")
    for name, cost in found.items():
        cells = [HOST, "", "", "", "", ""] if cost is None else _cells(cost)
        shown.add_row(name, *cells)
    return shown


def _cells(cost: Cost) -> list[str]:
    copies = cost.written / (SIZE.samples * 4)
    return [
        str(cost.kernels),
        str(cost.dispatched),
        str(cost.waits or ""),
        f"{cost.read / 1e6:.1f}",
        f"{cost.written / 1e6:.1f}",
        f"{copies:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the counts")
    options = parser.parse_args()
    found = costs()
    Console(width=100).print(table(found))
    if options.write:
        write(RESULT, size=asdict(SIZE), costs={name: as_kept(cost) for name, cost in found.items()})


if __name__ == "__main__":
    main()
