"""docs/speed.md, made of the results that are there: `python -m benchmarks.page`."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.device_cost import HOST, TARGETS, Target

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
Row = dict[str, Any]
MISSED = "missed"

HEAD = """# Speed and memory

Made by `python -m benchmarks.page` of the files in `benchmarks/results/`; how to remake those:
[benchmarks/](../benchmarks/README.md). Times are only comparable within a row: both calls took turns in one process,
and a ratio is the median over rounds.

## Compiled or not

```python
detector = hm.compile(hm.wrap(model, recipe))  # weights, losses and normalisers of each head: one graph
focal = hm.compile(hm.Focal())  # or a part, or any function of yours
```

`hardmine train`, `compare` and `loop` do the first, on a GPU by default, elsewhere with `--compile`. A compiler makes
one pass over the logits for value and weights and one for the gradient, and keeps the gradient only. Without a compiler
on the machine everything stays as it is, which a line in the log says. Uncompiled, losses and weights of single logits
are found block by block, value and slope together: again the slope is all that is kept. The first calls take seconds,
so compiling is worth its while in a training and not in a test.
"""
EXPLAINED = """Ratio: their time over ours, with quartiles. Copies: our time in copies of the logits, the least that
any pass over it takes. Peak: what is alive at once during the call, in MB, ours and theirs. Losses are forward +
backward. Before a row was timed, both answers were compared; where they cannot be the same, it says so. Loops were
written from the papers, since the authors' code cannot be installed.
"""
COLUMNS = ("operation", "size", "against", "ratio", "ours, ms", "copies", "peak", "theirs", "")
PIXELS = """The whole head, forward + backward, not compiled. Beside it cross entropy and one topk as one
would write them with torch; and mmsegmentation's sampler, written anew from its definition: a sort of the probabilities
of all valid pixels, then the cross entropy of those below the line, averaged over these.
"""
OHEM = """The cost table of the paper, on Faster R-CNN R50-FPN with 2,000 proposals an image, of which 64 count: drawn
at random, the hardest in two passes, the naive plan. All relative to random sampling.
"""
STEPS = """Forward + backward of the whole detector, {backbone} at {image_size} pixels, not compiled, over the same
detector with its default slots. What is ours grows slower than the network: larger images and backbones make it less.
"""
SCALING = """Every public assigner, sampling and loss, on one thread: the exponents of the upper half of the range, in
log-log, against samples N and against positives or objects P.

![time against samples and positives](scaling.png)
"""
MINING = """Matching, naming, suspicion and ranking of every label and prediction, against cleanlab's ObjectLab scores
(`get_label_quality_scores`) of the same: {images} generated images with 20 classes.
"""
GROWTH = """`mine_shards` with `memory={memory:g}`: {objects} objects and {predictions} predictions an image, from
Parquet to the mined folder, in a process of its own that does everything.
"""
COMMAND = """`hardmine mine` of {images:,} images with {objects} objects and {predictions} predictions each
({megabytes:.0f} MB of COCO results), beside faster-coco-eval's evaluation of the same files: each whole, in a process
of its own, in turn, {rounds} times ({date}, load {load}). Ours took {ours_cpu_seconds:.1f} s of processors, theirs
{peer_cpu_seconds:.1f} s and {peer_peak_gib:.2f} GiB. Ours does not import torch, which alone takes
{torch_peak_gib:.2f} GiB.
"""
EVALUATION = """`match_predictions` on such results, and {resamples:,} bootstrap resamples of two such runs, in seconds
of processors ({date}, load {load}).
"""
AIMS = {"ratio": 0.6, "cpu_ratio": 0.6, "ours_peak_gib": 0.8, "match_seconds": 4, "resamples_seconds": 8}
DEVICE = """What is launched, counted on torch's meta device ({torch}) and not timed: one image, one class, {samples:,}
samples, {positives} objects or positives; losses forward + backward. Waits: for the host, to know how many
positives there are. Copies: what is written, in times of the logits. A test holds each method to its figure.
Uncompiled: on a GPU heads are compiled by default.
"""
HEADS = """Assignment, weights, losses and normalisers of all heads, forward + backward, {images} images of {objects}
objects, with torchvision's shapes (R50-FPN at 800 x 1333, SSD300): kernels, and gigabytes read and written.
torchvision's own losses wait for the host, so theirs were counted on a CPU. Uncompiled; a test holds each recipe to its
figure. Of YOLO (640 pixels, 80 classes) and a layer of a DETR, whose frameworks compute the losses themselves, what a
recipe adds: the assignment and the framework's unreduced losses are given.
"""
OTHERS = """A training step (forward + backward) with a recipe attached, over one of the untouched model: median and
quartiles of ratios within a round. Models from their configurations, 80 classes, 2 images; YOLO and RT-DETRv2
(ResNet-18) at 320 pixels, RF-DETR Nano at 384. `random` leaves the losses as they are: how far it is from 1 is the
noise.
"""


def main() -> None:
    PAGE.write_text(text())


def text() -> str:
    parts = [part(json.loads((RESULTS / f"{name}.json").read_text())) for name, part in PARTS.items()]
    return "\n".join([HEAD, *parts])


def peers(result: Row) -> str:
    rows = result["rows"]
    groups = groupby(rows, key=lambda row: row["group"])
    tables = [f"### {group.capitalize()}\n\n{table(COLUMNS, map(_cells, some))}" for group, some in groups]
    return section("Against others", result, summary(rows), EXPLAINED, *tables)


def pixels(result: Row) -> str:
    return section("Hard mining of pixels", result, PIXELS, table(COLUMNS, map(_cells, result["rows"])))


def _cells(row: Row) -> list[str]:
    copies = f"{row['copies']:.0f}" if row["group"] == "losses" else ""  # others do not pass over one input
    numbers = f"{row['ours_ms']:.1f}", copies, f"{row['peak_mb']:.0f}", f"{row['peer_peak_mb']:.0f}"
    operation = row["operation"] + ("" if row["ours"] == "eager" else ", compiled")
    ratio = f"{row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    remark = "; ".join(filter(None, (row["differs"], row["compiled_differs"], row["note"])))
    return [operation, row["size"], row["peer"], ratio, *numbers, remark]


def summary(rows: Iterable[Row]) -> str:
    """The geometric mean over operations, each against its fastest peer, and where we are behind."""
    ratios = fastest(rows)
    behind = [f"{name}: {ratio:.2f}" for name, ratio in ratios.items() if ratio < 1]
    return (
        f"Over {len(ratios)} operations, each against its fastest peer, the geometric mean is "
        f"{statistics.geometric_mean(ratios.values()):.1f}. Behind: {'; '.join(behind) or 'none'}."
    )


def fastest(rows: Iterable[Row]) -> dict[str, float]:
    """Ratio to the fastest peer of each operation and size."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        ratios[f"{row['operation']} ({row['size']})"].append(row["ratio"])
    return {name: min(values) for name, values in ratios.items()}


def ohem(result: Row) -> str:
    measures = {"time to random": "time", "peak to random": "peak memory", "peak to naive": "peak to the naive plan's"}
    rows = [[row["scope"], row["plan"], *(f"{row[name]:.2f}" for name in measures)] for row in result["rows"]]
    return section("What OHEM costs", result, OHEM, table(("part", "plan", *measures.values()), rows))


def steps(result: Row) -> str:
    """Recipes down, detectors across."""
    detectors, recipes = (list(dict.fromkeys(row[name] for row in result["rows"])) for name in ("detector", "recipe"))
    ratio = {(row["recipe"], row["detector"]): f"{row['ratio']:.3f}" for row in result["rows"]}
    rows = [[f"`{recipe}`", *(ratio.get((recipe, detector), "") for detector in detectors)] for recipe in recipes]
    about = STEPS.format(**result["rows"][0])
    return section("What a recipe adds to a training step", result, about, table(("recipe", *detectors), rows))


def scaling(result: Row) -> str:
    of: dict[str, dict[str, str]] = defaultdict(dict)
    for curve in result["curves"]:
        of[curve["method"]][curve["axis"]] = "" if curve["exponent"] is None else f"{curve['exponent']:.2f}"
    rows = [[method, each.get("N", ""), each.get("P", "")] for method, each in of.items()]
    return section("How time grows", result, SCALING, table(("method", "in N", "in P"), rows))


def mining(result: Row) -> str:
    rows = result["cleanlab"]
    against = [
        (row["objects"], row["predictions"], f"{row['ratio']:.0f} [{row['low']:.0f}, {row['high']:.0f}]",
         *(f"{row[name] / row['images']:.3f}" for name in ("ours_ms", "peer_ms"))) for row in rows
    ]  # fmt: skip
    growth = [(f"{row['images']:,}", f"{row['seconds']:.0f}", f"{row['peak_gib']:.2f}") for row in result["growth"]]
    return section(
        "Mining",
        result,
        MINING.format(**rows[0]),
        table(("objects", "predictions", "ratio", "ours, ms an image", "theirs"), [map(str, row) for row in against]),
        GROWTH.format(memory=result["memory"], **rows[0]),
        table(("images", "seconds", "peak, GiB"), growth),
        _explained(COMMAND, result["command"]),
        _beside_aims(
            result["command"],
            ratio="time over theirs",
            cpu_ratio="the same, of processors",
            ours_peak_gib="peak, GiB",
        ),
        _explained(EVALUATION, result["evaluation"]),
        _beside_aims(result["evaluation"], match_seconds="matching, s", resamples_seconds="resamples, s"),
    )


def _explained(text: str, row: Row) -> str:
    return text.format(**row, date=row["machine"]["date"], load=row["machine"]["load"])


def _beside_aims(row: Row, **measures: str) -> str:
    """Each measure with its aim, which it should not exceed."""
    rows = [
        (words, f"{row[name]:.2f}", f"{AIMS[name]:.2f}", "" if row[name] <= AIMS[name] else MISSED)
        for name, words in measures.items()
    ]
    return table(("", "measured", "aim, at most", ""), rows)


def device_cost(result: Row) -> str:
    counted = DEVICE.format(torch=result["torch"].split("+")[0], **result["size"])
    rows = [
        [f"`{name}`", *_device_cells(cost, result["size"]["samples"], TARGETS.get(name))]
        for name, cost in result["costs"].items()
    ]
    columns = ("method", "kernels", "with views", "waits", "copies", "aim, at most", "")
    return "\n".join(["## On a device\n", counted, table(columns, rows), ""])


def _device_cells(cost: Row | None, samples: int, target: Target | None) -> list[str]:
    if cost is None:
        return [HOST, "", "", "", "", ""]
    copies = cost["written"] / (4 * samples)
    counts = [str(cost["kernels"]), str(cost["dispatched"]), str(cost["waits"] or ""), f"{copies:.0f}"]
    if target is None:
        return [*counts, "", ""]
    kept = cost["kernels"] <= target.kernels and copies <= target.copies
    return [*counts, str(target), "" if kept else MISSED]


def head_cost(result: Row) -> str:
    """Recipes down, detectors across."""
    detectors, own = result["heads"], result["torchvision"]
    recipes = dict.fromkeys(recipe for costs in detectors.values() for recipe in costs)
    rows = [[f"`{recipe}`", *(_head_cell(costs, recipe) for costs in detectors.values())] for recipe in recipes]
    rows.append(["torchvision's own", *(_head_cell(own, name) for name in detectors)])
    return "\n".join(["### Heads\n", HEADS.format(**result), table(("recipe", *detectors), rows), ""])


def _head_cell(costs: Mapping[str, Row | None], name: str) -> str:
    if name not in costs:
        return ""
    cost = costs[name]
    return HOST if cost is None else f"{cost['kernels']}, {(cost['read'] + cost['written']) / 1e9:.2f}"


def section(title: str, result: Row, *parts: str) -> str:
    machine = result["machine"]
    ran_on = f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, {machine['date']}."
    return "\n".join([f"## {title}\n", ran_on, *(f"\n{part.rstrip()}" for part in parts), ""])


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ["---"] * len(columns), *rows))


def framework_overhead(result: Row) -> str:
    """Detectors down, recipes across: ratio and quartiles."""
    ratios = result["ratios"]
    recipes = next(iter(ratios.values()))
    rows = [
        [name, *(f"{of['ratio']:.2f} ({of['low']:.2f}, {of['high']:.2f})" for of in costs.values())]
        for name, costs in ratios.items()
    ]
    return section("Detectors of other frameworks", result, OTHERS, table(("", *map("`{}`".format, recipes)), rows))


PARTS = {
    "peers": peers,
    "pixels": pixels,
    "ohem_cost": ohem,
    "step_overhead": steps,
    "framework_overhead": framework_overhead,
    "scaling": scaling,
    "mining": mining,
    "device_cost": device_cost,
    "head_cost": head_cost,
}

if __name__ == "__main__":
    main()
