"""What does a recipe cost in a training step? Every recipe on every detector that takes it.

A step is forward + backward on images of noise. Steps under the recipe and steps under the detector's own default
slots (`recipes.random`) alternate in one process, on the same weights; the figure is the median over rounds of the
ratio within a round, with quartiles. "share" is what our own code takes of the step: the time inside assigners and
heads, and that of the backward pass through them, which is measured by cutting the graph where the head begins.

The detector is not trained, and its scores are all alike. That is the dearest moment of ranking losses: every negative
is above some positive. Recipes beyond the budget of 5 % that are expected to be: OHEM, hard negatives and their kin on
Faster R-CNN (two passes), ISR and PISA there (all proposals through the head), and those that assign by predictions.

Writes benchmarks/results/step_overhead.json after every row; rows of other settings stay. --resume leaves out what is
there already.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import hardmine as hm
from benchmarks.machine import describe
from benchmarks.measure import alternate
from benchmarks.pictures import noise_images
from hardmine.assign import Assigner
from hardmine.equation.head import Head, HeadOutput
from hardmine.errors import EvidenceError

RESULT = Path(__file__).parent / "results" / "step_overhead.json"
IMAGES, OBJECTS, CLASSES = 2, 8, 80
BUDGET = 1.05
EXPECTED = {"hnm", "ohem", "ohem_mmdet", "rfcn_ohem", "s_ohem", "isr", "pisa", "atss", "fcos", "tood", "simota"}
"""Recipes that may cost more than the budget."""
OF_A_RUN = ("date", "load", "threads")
"""What the description of a machine says of the run, not of the machine."""
OF_HEAD = ("before", "look", "choose", "reduce", "predictions")
ELSEWHERE = "bbox_ctrness"
"""A loss that no slot has to do with."""

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]
Setting = dict[str, Any]


def step(detector: nn.Module, batch: Batch) -> Callable[[], None]:
    def run() -> None:
        torch.stack(list(detector(*batch).values())).sum().backward()
        detector.zero_grad(set_to_none=True)

    return run


@dataclass
class Clock:
    """Seconds inside the functions that it watches; what one of them calls of another is not counted twice."""

    seconds: float = 0.0
    depth: int = field(default=0, repr=False)

    def watch(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.depth -= 1
                self.seconds += 0 if self.depth else time.perf_counter() - start

        return timed


@contextmanager
def instead(places: list[tuple[nn.Module, str]], wrap: Callable[[Callable], Callable]) -> Iterator[None]:
    """The methods of these modules, by name, wrapped."""
    for module, name in places:
        setattr(module, name, wrap(getattr(module, name)))
    try:
        yield
    finally:
        for module, name in places:
            delattr(module, name)


def cut(look: Callable) -> Callable:
    """`Head.look` on an output from which no gradient flows back to the model."""

    def apart(output: HeadOutput, *args: Any) -> Any:
        if output.logits.requires_grad:
            logits, codes = (tensor.detach().requires_grad_() for tensor in (output.logits, output.codes))
            output = HeadOutput(logits, codes, output.anchors)
        return look(output, *args)

    return apart


def own_seconds(detector: nn.Module, batch: Batch) -> float:
    """Time of one step in heads and assigners, and in the backward pass through the heads' losses."""
    heads = [module for module in detector.modules() if isinstance(module, Head)]
    assigners = [(module, "forward") for module in detector.modules() if isinstance(module, Assigner)]
    clock = Clock()
    with instead([(head, "look") for head in heads], cut):
        losses = detector(*batch)
        start = time.perf_counter()
        torch.stack([loss for name, loss in losses.items() if name != ELSEWHERE]).sum().backward()
        backward = time.perf_counter() - start
    with instead([(head, name) for head in heads for name in OF_HEAD] + assigners, clock.watch):
        detector(*batch)
    return clock.seconds + backward


def measure(detector: hm.Detector, baseline: nn.Module, batch: Batch, options: argparse.Namespace) -> Setting:
    """Ratio to the baseline, its quartiles, both medians, and, where nothing is compiled, our share."""
    put = hm.compile(detector) if options.compile else detector
    timing = alternate(step(baseline, batch), step(put, batch), options.rounds)  # ratio: the second to the first
    row = {
        "ratio": round(timing.ratio, 4),
        "quartiles": [round(timing.low, 4), round(timing.high, 4)],
        "ms": round(timing.peer_ms, 2),
        "baseline_ms": round(timing.ours_ms, 2),
    }
    if not options.compile:
        own = sorted(own_seconds(detector, batch) for _ in range(3))[1]
        row["share"] = round(1000 * own / timing.peer_ms, 4)
    return row


def setting_of(detector: str, recipe: str, options: argparse.Namespace) -> Setting:
    return {
        "detector": detector,
        "recipe": recipe,
        "backbone": options.backbone,
        "image_size": options.image_size,
        "compiled": options.compile,
        "threads": options.threads,
    }


class Results:
    """The file of rows, one a setting; written whenever a row is added. Rows of another machine are not kept."""

    def __init__(self, path: Path):
        self.path = path
        before = json.loads(path.read_text()) if path.is_file() else {"machine": {}, "rows": []}
        self.rows: list[Setting] = before["rows"] if _lasting(before["machine"]) == _lasting(describe()) else []

    def find(self, setting: Setting) -> Setting | None:
        return next((row for row in self.rows if setting.items() <= row.items()), None)

    def add(self, setting: Setting, row: Setting) -> None:
        self.rows = [old for old in self.rows if not setting.items() <= old.items()] + [setting | row]
        self.path.parent.mkdir(exist_ok=True)
        report = {"machine": describe(), "images": IMAGES, "objects": OBJECTS, "classes": CLASSES, "rows": self.rows}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(report, indent=1) + "\n")
        partial.replace(self.path)


def _lasting(machine: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in machine.items() if name not in OF_A_RUN}


def measure_detector(name: str, options: argparse.Namespace, results: Results) -> list[Setting]:
    """One row for each recipe that the detector takes; the first also warms up the machine."""
    torch.manual_seed(0)
    model = hm.build(name, CLASSES, backbone=options.backbone, image_size=options.image_size).train()
    baseline = hm.wrap(model, hm.recipes.random())
    size = options.image_size
    batch = noise_images(IMAGES, size, size, objects=OBJECTS, classes=CLASSES, label_offset=baseline.label_offset)
    compared = hm.compile(baseline) if options.compile else baseline
    rows = []
    for recipe in options.recipes:
        setting = setting_of(name, recipe, options)
        row = results.find(setting) if options.resume else None
        try:
            row = row or setting | measure(hm.wrap(model, hm.RECIPES[recipe]()), compared, batch, options)
        except EvidenceError:
            continue
        results.add(setting, row)
        rows.append(row)
        print(f"{name:11} {recipe:15} {row['ratio']:.3f} {row['quartiles']} share {row.get('share', float('nan')):.3f}")
    return rows


def table(rows: list[Setting], detectors: list[str], recipes: list[str]) -> Table:
    """Recipes down, detectors across."""
    ratio = {(row["detector"], row["recipe"]): row for row in rows}
    shown = Table("recipe", *detectors)
    for recipe in recipes:
        cells = (ratio.get((detector, recipe)) for detector in detectors)
        shown.add_row(recipe, *("" if row is None else _cell(row) for row in cells))
    return shown


def _cell(row: Setting) -> str:
    share = f" ({row['share']:.0%})" if "share" in row else ""
    over = row["ratio"] > BUDGET and row["recipe"] not in EXPECTED
    return f"[red]{row['ratio']:.3f}[/red]{share}" if over else f"{row['ratio']:.3f}{share}"


def names(text: str, known: list[str]) -> list[str]:
    chosen = known if text == "all" else text.split(",")
    if unknown := sorted(set(chosen) - set(known)):
        raise SystemExit(f"got {', '.join(unknown)}; known are {', '.join(known)}")
    return chosen


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detectors", default="all", help="with commas")
    parser.add_argument("--recipes", default="all", help="with commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--compile", action="store_true", help="compile both detectors with hardmine.compile")
    parser.add_argument("--resume", action="store_true", help="keep the rows of these settings that are there")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.compile and not hasattr(hm, "compile"):
        parser.error("this hardmine has no compile()")
    options.detectors = names(options.detectors, list(hm.detectors.DETECTORS))
    options.recipes = names(options.recipes, list(hm.RECIPES))
    return options


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    results = Results(options.out)
    rows = [row for name in options.detectors for row in measure_detector(name, options, results)]
    Console().print(table(rows, options.detectors, options.recipes))
    print(f"in brackets: our share of the step; red: above {BUDGET} and not expected to be")


if __name__ == "__main__":
    main()
