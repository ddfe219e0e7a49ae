"""How does the time of every method grow with the samples, and with the positives?

One thread, one image, one class. Every assigner, sampling and loss that is public is here without being named;
those that cannot be made without arguments have theirs in `ARGUMENTS`.

N   from 1,000 to 10 million samples, 10 objects or positives among them
P   from 10 to 10,000 objects (of an assigner, 10,000 samples) or positives (of the others, 100,000 samples)

A loss is timed forward + backward, so is a sampling through whose weights gradient flows; all else is one call. Scores
are those of a detector at its start: all alike, so that every negative counts in a ranking. A point is left out where
the one before says that it would take longer than --limit, or where it does not fit into --gigabytes.

The exponent is the slope of a least-squares line through the upper half of the points, in log-log. "copy" is that of
one copy of the logits: what caches and the memory of the machine itself add to linear growth. Freed memory is kept for
the next call. By default (--give-back) glibc returns blocks above 32 MB to the system, which then clears every page of
the next one anew: that doubles the times from a few million numbers on, and hides how a method grows.

Writes benchmarks/results/scaling.json and docs/scaling.png.
"""

import argparse
import ctypes
import inspect
import json
import math
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import hardmine as hm
from benchmarks.machine import describe
from benchmarks.measure import milliseconds
from benchmarks.pictures import random_boxes
from hardmine.assign import Assigner
from hardmine.core.samples import Levels, Predictions
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.sampling import Sampling

HERE = Path(__file__).parent
RESULT, PICTURE = HERE / "results" / "scaling.json", HERE.parent / "docs" / "scaling.png"
CLASSES, IMAGE, BINS = 1, 1024, 3
COUNTS = {
    "N": [round(10 ** (exponent / 2)) for exponent in range(6, 15)],
    "P": [round(10 ** (exponent / 2)) for exponent in range(2, 9)],
}
FEW, FIXED_SAMPLES, FIXED_ANCHORS = 10, 100_000, 10_000
TARGET = 1.1
LEVELS = 4
PER_POINT = 0.3
"""Seconds that the repetitions of one point may take together, if there are more than three."""
MALLOC_OPTIONS = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, -1)}
"""Of glibc: no block is a mapping of its own, and nothing freed goes back to the system."""

ARGUMENTS: dict[str, Callable[[], nn.Module]] = {
    "EQLv2": lambda: hm.EQLv2(CLASSES),
    "EFL": lambda: hm.EFL(CLASSES),
    "ClassBalanced": lambda: hm.ClassBalanced(CLASSES),
    "Seesaw": lambda: hm.Seesaw(CLASSES),
    "DFL": lambda: hm.DFL(BINS),
    "Combined": lambda: hm.Combined(hm.Random(), hm.ScoreHLR()),
    "Chain": lambda: hm.Chain(hm.HardNegative(), hm.OHEM()),
    "Scheduled": lambda: hm.Scheduled(hm.All(), hm.HardNegative(), 0.1),
    "ScheduledLoss": lambda: hm.ScheduledLoss(hm.CrossEntropy("sigmoid"), hm.Focal(), 0.1, 0.3),
}
SHOWN = ("MaxIoU", "SimOTA", "OHEM", "GHMC", "Focal", "RankSort", "APLoss", "RandomBalanced", "Hungarian", "ISR")
"""Lines of the picture that have a name; all others are grey."""


@dataclass(frozen=True, slots=True)
class Size:
    """N samples, P objects or positives."""

    samples: int
    positives: int


@dataclass
class Curve:
    """Times of one method along one axis: what is counted, and milliseconds."""

    method: str
    kind: str
    axis: str
    count: list[int] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    stopped: str = ""

    @property
    def exponent(self) -> float | None:
        """Slope over the upper half of the range, in log-log; None of fewer than three points."""
        if len(self.count) < 3:
            return None
        x, y = np.log(self.count), np.log(self.ms)
        upper = x >= (x[0] + x[-1]) / 2
        return float(np.polyfit(x[upper], y[upper], 1)[0])


KINDS = (Assigner, Sampling, ClassificationLoss, RegressionLoss)


def methods() -> Iterator[tuple[str, nn.Module]]:
    """One of each public assigner, sampling and loss."""
    for part in (hm.assign, hm.sampling, hm.losses):
        for name in part.__all__:
            cls = getattr(part, name)
            is_method = isinstance(cls, type) and issubclass(cls, KINDS) and not inspect.isabstract(cls)
            if is_method:
                yield name, ARGUMENTS.get(name, cls)()


def assign(method: Assigner, size: Size) -> Callable[[], object]:
    """Anchors of four levels at random places, each object with a class."""
    scores = torch.rand(1, size.samples, CLASSES) if method.needs else torch.zeros(1, 0, CLASSES)
    boxes = random_boxes(size.samples, IMAGE, IMAGE, (0.01, 0.3)).unsqueeze(0)
    objects, labels = random_boxes(size.positives, IMAGE, IMAGE), torch.randint(CLASSES, (size.positives,))
    ground_truth = hm.GroundTruth.from_lists([objects], [labels], missed=[torch.ones_like(labels, dtype=torch.bool)])
    extra: dict[str, Any] = {"levels": _levels(size.samples), "predictions": Predictions(boxes, scores)}
    used = {name: value for name, value in extra.items() if name in method.needs}
    return lambda: method(boxes, ground_truth, **used)


def _levels(num: int) -> Levels:
    """A pyramid in which each level has a quarter of the one below it."""
    upper = [num * 3 // 4 ** (level + 1) for level in range(1, LEVELS)]
    strides = tuple(8.0 * 2**level for level in range(LEVELS))
    return Levels((num - sum(upper), *upper), strides, (1,) * LEVELS)


def sample(method: Sampling, size: Size) -> Callable[[], object]:
    samples = evidence(method, method.needs, size)
    if not method.through_grad:
        return lambda: method(samples)
    return _with_backward(samples["logits"], lambda: method(samples))


def classify(method: ClassificationLoss, size: Size) -> Callable[[], object]:
    samples = evidence(method, method.needs | {"logits", "labels"}, size)
    known = {name: samples[name] for name in method.needs}
    return _with_backward(samples["logits"], lambda: method(samples["logits"], samples["labels"], **known))


def regress(method: RegressionLoss, size: Size) -> Callable[[], object]:
    shape = (1, size.samples, 4)
    if method.space == "box":
        target = random_boxes(size.samples, IMAGE, IMAGE).unsqueeze(0)
        predicted = target + torch.randn(shape)
    else:
        target = torch.rand(shape)
        predicted = torch.randn(shape if method.space == "code" else (*shape, BINS + 1))
    predicted.requires_grad_()
    return _with_backward(predicted, lambda: method(predicted, target))


def copy_of(_method: nn.Module, size: Size) -> Callable[[], object]:
    return torch.randn(1, size.samples, CLASSES).clone


def _with_backward(leaf: Tensor, forward: Callable[[], Tensor]) -> Callable[[], None]:
    def run() -> None:
        forward().sum().backward()
        leaf.grad = None

    return run


def evidence(method: nn.Module, names: frozenset[str], size: Size) -> hm.Samples:
    """What a method asks for, of samples of which the first P are positive, each of its own object."""
    shape = (1, size.samples)
    matched = torch.full(shape, hm.BACKGROUND)
    matched[:, : size.positives] = torch.arange(min(size.positives, size.samples))
    is_positive = matched >= 0
    make: dict[str, Callable[[], Tensor]] = {
        "labels": lambda: torch.where(is_positive, matched % CLASSES, matched),
        "logits": lambda: _logits(method, shape),
        "boxes": lambda: random_boxes(size.samples, IMAGE, IMAGE).unsqueeze(0),
        "predicted_boxes": lambda: random_boxes(size.samples, IMAGE, IMAGE).unsqueeze(0),
        "code_error": lambda: torch.where(is_positive.unsqueeze(-1), torch.randn(*shape, 4), 0),
    }
    known = {name: make[name]() if name in make else torch.rand(shape) for name in sorted(names)}
    for name in known.keys() & {"predicted_iou", "regression_loss", "quality"}:
        known[name] = torch.where(is_positive, known[name], 0)
    return hm.Samples(hm.Assignment(matched, torch.rand(shape), known.pop("quality", None)), **known)


def _logits(method: nn.Module, shape: tuple[int, int]) -> Tensor:
    columns = CLASSES + (getattr(method, "activation", None) == "softmax")
    return torch.randn(*shape, columns).sub_(math.log(99)).requires_grad_()  # p = .01, as focal loss starts


MAKERS: dict[type[nn.Module], tuple[str, Callable[[Any, Size], Callable[[], object]]]] = {
    Assigner: ("assigner", assign),
    Sampling: ("sampling", sample),
    ClassificationLoss: ("loss", classify),
    RegressionLoss: ("box loss", regress),
    nn.Identity: ("floor", copy_of),
}


def curve(name: str, method: nn.Module, axis: str, options: argparse.Namespace) -> Curve | None:
    """Times along one axis, as far as time and memory allow; None where the axis has no meaning for the method."""
    kind, make = next(entry for base, entry in MAKERS.items() if isinstance(method, base))
    if axis == "P" and kind in ("box loss", "floor"):
        return None
    measured = Curve(name, kind, axis)
    fixed = FIXED_ANCHORS if kind == "assigner" else FIXED_SAMPLES
    for count in (count for count in COUNTS[axis] if count <= options.most):
        size = Size(count, FEW) if axis == "N" else Size(fixed, count)
        if measured.ms and _expected(measured, count) > 1000 * options.limit:
            measured.stopped = f"{count:,}: longer than {options.limit} s"
            break
        try:
            ms = _time(make(method, size))
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            measured.stopped = f"{count:,}: more than {options.gigabytes} GB"
            break
        measured.count.append(count)
        measured.ms.append(round(ms, 4))
    return measured


def _expected(measured: Curve, count: int) -> float:
    """Milliseconds if the last step's growth goes on, but at least linear."""
    growth = measured.ms[-1] / measured.ms[-2] if len(measured.ms) > 1 else 1.0
    return measured.ms[-1] * max(growth, count / measured.count[-1])


def _time(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    first = time.perf_counter() - start
    return milliseconds(function, min(9, max(3, int(PER_POINT / first))))


def table(curves: list[Curve]) -> Table:
    shown = Table("method", "kind", "exponent in N", "largest N", "ms there", "exponent in P", "largest P", "ms there")
    along = {(each.method, each.axis): each for each in curves}
    for name in dict.fromkeys(each.method for each in curves):
        both = [along.get((name, axis)) for axis in "NP"]
        shown.add_row(name, both[0].kind, *(cell for each in both for cell in _cells(each)))
    return shown


def _cells(measured: Curve | None) -> tuple[str, str, str]:
    if measured is None or not measured.count:
        return "", "", ""
    exponent = measured.exponent
    text = "" if exponent is None else f"{exponent:.2f}"
    above = exponent is not None and exponent > TARGET
    return f"[red]{text}[/red]" if above else text, f"{measured.count[-1]:,}", f"{measured.ms[-1]:,.1f}"


def draw(curves: list[Curve], path: Path) -> None:
    """One panel for each axis, and one legend below both."""
    figure = Figure(figsize=(8, 5), dpi=200, layout="constrained")
    panels = figure.subplots(1, 2)
    labels = {"N": "samples N", "P": "objects (assigners) or positives P"}
    for panel, (axis, label) in zip(panels, labels.items(), strict=True):
        panel.set(xlabel=label, xscale="log", yscale="log")
        _panel(panel, [each for each in curves if each.axis == axis and each.count])
    panels[0].set_ylabel("milliseconds")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Time of every assigner, sampling and loss: one image, one class, one thread", fontsize=11)
    figure.savefig(path)


def _panel(panel: Axes, curves: list[Curve]) -> None:
    """Named methods in colours, the others in grey, and what linear growth would be, dotted."""
    by_name = {each.method: each for each in curves}
    others = [each for each in curves if each.method not in SHOWN]
    for place, each in enumerate(others):
        panel.plot(each.count, each.ms, color="0.82", linewidth=0.8, label="" if place else "all others")
    for colour, name in enumerate(SHOWN):
        if name in by_name:
            panel.plot(by_name[name].count, by_name[name].ms, color=f"C{colour}", linewidth=1.8, label=name)
    ends = np.array([curves[0].count[0], max(each.count[-1] for each in curves)])
    bottom, top = panel.get_ylim()
    start = float(np.median([each.ms[0] for each in curves]))
    panel.plot(ends, start * ends / ends[0], color="black", linestyle=":", linewidth=1, label="linear growth")
    panel.set_ylim(bottom, top)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="methods with this in their name")
    parser.add_argument("--give-back", action="store_true", help="leave memory to the allocator's own defaults")
    parser.add_argument("--limit", type=float, default=1.5, help="seconds that one call may take")
    parser.add_argument("--gigabytes", type=float, default=8.0, help="memory that may be asked for")
    parser.add_argument("--most", type=int, default=COUNTS["N"][-1], help="largest N or P")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    return parser.parse_args()


def keep_memory() -> None:
    libc = ctypes.CDLL(None)
    for name, value in MALLOC_OPTIONS.values() if hasattr(libc, "mallopt") else ():
        libc.mallopt(name, value)


def main() -> None:
    options = parse()
    if not options.give_back:
        keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    resource.setrlimit(resource.RLIMIT_DATA, (int(options.gigabytes * 2**30), resource.RLIM_INFINITY))
    chosen = [("copy", nn.Identity()), *(pair for pair in methods() if options.only in pair[0])]
    curves = []
    for name, method in chosen:
        found = [curve(name, method, axis, options) for axis in "NP"]
        curves += [each for each in found if each is not None]
        print(name, *(f"{each.axis}: {each.exponent}" for each in found if each is not None))
    Console(width=110).print(table(curves))
    rows = [asdict(each) | {"exponent": each.exponent} for each in curves]
    options.out.parent.mkdir(exist_ok=True)
    settings = {name: getattr(options, name) for name in ("limit", "gigabytes", "give_back")} | {"classes": CLASSES}
    options.out.write_text(json.dumps({"machine": describe(), "settings": settings, "curves": rows}, indent=1) + "\n")
    draw(curves, options.picture)


if __name__ == "__main__":
    main()
