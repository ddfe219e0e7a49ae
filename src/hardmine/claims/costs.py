"""Claims on what a method costs: times as ratios of calls that take turns, memory as what a step keeps for gradients.

Nothing is trained. What differs from seed to seed is the input, and whatever else the machine does.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardmine.claims.claim import NO_DATA, Claim, Contrast, Measurement, cell
from hardmine.claims.runs import Runs, Training
from hardmine.core.samples import BACKGROUND, Assignment, Samples
from hardmine.detectors import Detector, build, wrap
from hardmine.recipes import RECIPES
from hardmine.sampling import GHMC

__all__ = ["CLAIMS", "in_turn", "saved_bytes"]

Call = Callable[[], object]
NAIVE, TWO_PASSES, DRAWN = "naive", "two passes", "random"
BUDGET = 64
IMAGES, OBJECTS, CLASSES = 2, 4, 4
FEWEST_SCORES = 1_000
STEPS_OF_SIZE = 10
"""How many times more scores each size has than the one before."""
HARMONISED = cell("retinanet", "focal")
"""Whose batches are counted: a detector that has learnt something."""
MOMENTA = (0.0, 0.75)
NEXT_TO_NONE = 1e-6
"""A momentum that leaves the counts as they are, but keeps them to be looked at."""


def measure_plans(runs: Runs) -> Measurement:
    """Two passes take less time and keep less than zeroing the losses of what is not hard; random sampling least."""
    found = [_plans(runs, seed) for seed in runs.seeds]
    times, kept = ({name: np.array([of[place][name] for of in found]) for name in found[0][place]} for place in (0, 1))
    contrasts = [
        Contrast("log of time: two passes / naive", np.log(times[TWO_PASSES] / times[NAIVE]), "below"),
        Contrast(
            "log of memory kept for the gradient: two passes / naive", np.log(kept[TWO_PASSES] / kept[NAIVE]), "below"
        ),
        Contrast("log of time: two passes / random", np.log(times[TWO_PASSES] / times[DRAWN])),
    ]
    numbers = {f"time to random, {name}": times[name] / times[DRAWN] for name in (TWO_PASSES, NAIVE)}
    numbers |= {f"memory to random, {name}": kept[name] / kept[DRAWN] for name in (TWO_PASSES, NAIVE)}
    return Measurement(contrasts, numbers)


def _plans(runs: Runs, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Of each plan the seconds of a training step, and the bytes that its forward pass keeps."""
    torch.manual_seed(seed)
    model = _two_stage(runs)
    ohem = RECIPES["ohem"](budget=BUDGET)
    detectors = {
        TWO_PASSES: wrap(model, ohem),
        NAIVE: wrap(model, ohem, two_pass=False),
        DRAWN: wrap(model, RECIPES["random"](num=BUDGET)),
    }
    batch = _batch(model)
    steps = {name: _step(detector, batch) for name, detector in detectors.items()}
    kept = {name: float(saved_bytes(lambda of=of: _loss(of, batch), model)) for name, of in detectors.items()}
    return in_turn(steps, runs.scale.repeats), kept


def _two_stage(runs: Runs) -> Any:
    """A detector whose RPN suppresses nothing, so that it gives as many proposals as asked for."""
    large = {name: of for name, of in runs.scale.changes.items() if name in ("backbone", "image_size")}
    model: Any = build("fasterrcnn", CLASSES, **{"backbone": "tiny", **large})
    num = runs.scale.proposals
    model.rpn._pre_nms_top_n = model.rpn._post_nms_top_n = {"training": num, "testing": num}
    model.rpn.nms_thresh = 1.0
    return model.train()


Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


def _batch(model: Any) -> Batch:
    side = model.transform.min_size[0]
    images = [torch.rand(3, side, side) for _ in range(IMAGES)]
    corner = side * torch.rand(IMAGES, OBJECTS, 2) * 0.7
    boxes = torch.cat([corner, corner + side * (0.1 + 0.2 * torch.rand(IMAGES, OBJECTS, 2))], dim=-1)
    return images, [{"boxes": of, "labels": torch.randint(1, CLASSES + 1, (OBJECTS,))} for of in boxes]


def _loss(detector: Detector, batch: Batch) -> Tensor:
    images, targets = batch
    return torch.stack(list(detector(list(images), [dict(target) for target in targets]).values())).sum()


def _step(detector: Detector, batch: Batch) -> Call:
    def run() -> None:
        _loss(detector, batch).backward()
        detector.zero_grad(set_to_none=True)

    return run


def saved_bytes(forward: Call, module: nn.Module) -> int:
    """What a forward pass keeps for the backward pass beside parameters; what is kept twice counts once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()  # held until all is counted, so that no storage's place is taken by another
    del result
    return sum(kept.values())


def in_turn(calls: Mapping[str, Call], repeats: int) -> dict[str, float]:
    """Fastest seconds of each, after a call of each to warm up; whoever is first changes every round.

    The fastest: whatever else the machine does only ever makes a call slower.
    """
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats):
        for name in list(calls)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(of) for name, of in seconds.items()}


def measure_density(runs: Runs) -> Measurement:
    """The exact density takes longer than unit regions, and the more so the more scores there are."""
    sizes = [FEWEST_SCORES]
    while sizes[-1] < runs.scale.scores:
        sizes.append(STEPS_OF_SIZE * sizes[-1])
    ratios = {num: np.array([_density_ratio(num, seed, runs.scale.repeats) for seed in runs.seeds]) for num in sizes}
    most, fewest = np.log(ratios[sizes[-1]]), np.log(ratios[sizes[0]])
    contrasts = [
        Contrast(f"log of time at {sizes[-1]:,} scores: exact / regions", most),
        Contrast(f"the same - that at {sizes[0]:,}", most - fewest),
    ]
    return Measurement(contrasts, {f"time at {num:,} scores, exact / regions": of for num, of in ratios.items()})


def _density_ratio(num: int, seed: int, repeats: int) -> float:
    samples = _scores(num, seed)
    exact, regions = GHMC(density="exact", momentum=0.0), GHMC(momentum=0.0)
    seconds = in_turn({"exact": lambda: exact(samples), "regions": lambda: regions(samples)}, repeats)
    return seconds["exact"] / seconds["regions"]


def _scores(num: int, seed: int) -> Samples:
    """Mostly easy negatives, as a dense head has them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.full((1, num), BACKGROUND)
    assignment = Assignment(labels, torch.zeros(1, num))
    return Samples(assignment, labels=labels, logits=torch.randn(1, num, 1, generator=generator) * 2 - 3)


def measure_average(runs: Runs) -> Measurement:
    """From batch to batch the counts of the unit regions change less with the moving average than without."""
    changes = {
        momentum: runs.over_seeds(HARMONISED, lambda of, m=momentum: _change(runs, of, m)) for momentum in MOMENTA
    }
    text = "change of a region's log count from batch to batch: momentum .75 - none"
    numbers = {f"change, momentum {momentum}": of for momentum, of in changes.items()}
    return Measurement([Contrast(text, changes[0.75] - changes[0.0], "below")], numbers)


def _change(runs: Runs, of: Training, momentum: float) -> float:
    """Mean absolute difference of two batches' log counts, over regions that are never empty."""
    density = GHMC(momentum=max(momentum, NEXT_TO_NONE)).train()
    counts = []
    for samples in runs.trained(of).samples(frozenset({"logits", "labels"})):
        density(samples)
        counts.append(density.histogram / density.seen)
    logs = torch.stack(counts).log()
    never_empty = logs.isfinite().all(dim=0)
    return float(logs[:, never_empty].diff(dim=0).abs().mean())


CLAIMS = (
    Claim(
        slug="two-passes-cost-less",
        ids=("004-20", "004-21"),
        words="Zeroing the losses of what is not hard wastes the backward pass; a pass without gradient first takes "
        "less time and memory.",
        source="Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016",
        published="VGG16: .57 s a step without mining, 1.00 s with it, 6.4 and 8.7 GB; over twice as fast as naive",
        measure=measure_plans,
        data=NO_DATA,
        notes="One head that is run twice, in the place of two networks with the same weights. Whole training steps.",
    ),
    Claim(
        slug="unit-regions-are-cheaper",
        ids=("001-29", "001-30"),
        words="The exact gradient density takes too long for a head's many scores; unit regions are linear in them.",
        source="Li et al., Gradient Harmonized Single-stage Detector, AAAI 2019",
        published="seconds a step: cross entropy .566, exact 13.675 (35.9 AP), unit regions .824 (35.8 AP)",
        measure=measure_density,
        data=NO_DATA,
        notes="Ours sorts, so the exact density takes N log N and not N².",
    ),
    Claim(
        slug="moving-average-steadies-density",
        ids=("001-31",),
        words="The counts of one batch are noisy, a moving average over batches steadies them.",
        source="Li et al., Gradient Harmonized Single-stage Detector, AAAI 2019",
        published="no figure",
        measure=measure_average,
        cells=(HARMONISED,),
        notes="Batches of a finished detector; what that does to AP is not measured.",
    ),
)
