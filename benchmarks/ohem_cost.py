"""What does OHEM cost? The cost table of its paper, on Faster R-CNN with a ResNet-50 and a feature pyramid.

Three plans train on the same few proposals of an image, out of 2,000:

random       drawn before the RoI head runs: the head sees nothing else
two passes   the hardest; the head looks at all proposals without gradient first, then at the kept ones with it
naive        the hardest; the head runs over all proposals with gradient, and all but a few losses are zeroed

Each is measured on the RoI head alone (features and proposals given) and on the whole training step, forward and
backward. Steps of all plans take turns in one process: a ratio of times is the median over rounds of the ratio within a
round. Peak memory is what one step adds to the model, gradients of the parameters included; "saved" is what the forward
pass keeps for the backward pass, without parameters. Writes benchmarks/results/ohem_cost.json.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn

import hardmine as hm
from benchmarks.machine import describe
from benchmarks.measure import in_turn, peak_bytes, quartiles
from benchmarks.pictures import noise_images, random_boxes

RESULT = Path(__file__).parent / "results" / "ohem_cost.json"
CLASSES, OBJECTS = 80, 8
PROPOSAL_SIDES = (0.03, 0.7)
TARGETS = {"time to random": 1.25, "peak to random": 1.15, "peak to naive": 0.6}
"""What two passes should cost at most."""
MEGABYTE = 10**6

Step = Callable[[], None]
Losses = Callable[[hm.Detector], dict[str, Tensor]]


def build(options: argparse.Namespace) -> nn.Module:
    """torchvision's own; its RPN suppresses nothing, so that small images too give as many proposals as asked for."""
    sizes = {"min_size": options.height, "max_size": max(options.height, options.width)}
    rois = {"rpn_pre_nms_top_n_train": options.rois, "rpn_post_nms_top_n_train": options.rois, "rpn_nms_thresh": 1.0}
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES + 1, **sizes, **rois)
    return model.to(options.device).train()


def plans(model: nn.Module, budget: int) -> dict[str, hm.Detector]:
    ohem = hm.recipes.ohem(budget)
    return {
        "random": hm.wrap(model, hm.recipes.random(budget)),
        "two passes": hm.wrap(model, ohem),
        "naive": hm.wrap(model, ohem, two_pass=False),
    }


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of a training step, as a function of the plan; ``given`` are tensors that it gets a gradient for."""

    name: str
    losses: Losses
    given: list[Tensor]

    def step(self, detector: hm.Detector) -> Step:
        """Forward and backward; gradients are given back at once, so that each step makes its own."""

        def run() -> None:
            torch.stack(list(self.losses(detector).values())).sum().backward()
            detector.zero_grad(set_to_none=True)
            for tensor in self.given:
                tensor.grad = None

        return run


def scopes(detector: hm.Detector, options: argparse.Namespace) -> list[Scope]:
    """The RoI head on its own, and the whole step."""
    height, width = options.height, options.width
    images, targets = noise_images(
        options.images, height, width, objects=OBJECTS, classes=CLASSES, label_offset=detector.label_offset
    )
    images = [image.to(options.device) for image in images]
    targets = [{name: value.to(options.device) for name, value in target.items()} for target in targets]
    resized, moved = detector.model.transform(images, targets)
    with torch.no_grad():
        features = detector.model.backbone(resized.tensors)
    features = {name: level.detach().requires_grad_() for name, level in features.items()}
    ground_truth = hm.GroundTruth.from_lists(
        [target["boxes"] for target in moved], [target["labels"] - detector.label_offset for target in moved]
    )
    proposals = [random_boxes(options.rois, height, width, PROPOSAL_SIDES).to(options.device) for _ in images]

    def roi_losses(plan: Any) -> dict[str, Tensor]:
        return plan.roi_losses(resized, features, ground_truth, moved, proposals)

    return [
        Scope("RoI head", roi_losses, list(features.values())),
        Scope("whole step", lambda plan: plan(images, targets), []),
    ]


def saved_bytes(scope: Scope, detector: hm.Detector) -> int:
    """What the forward pass keeps for the backward pass, each storage once, without parameters and given tensors."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*detector.parameters(), *scope.given)}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = scope.losses(detector)
    total = sum(size for address, size in storages.items() if address not in known)
    del losses  # alive until here, so that no address was used twice
    return total


def measure(scope: Scope, detectors: dict[str, hm.Detector], rounds: int) -> list[dict[str, Any]]:
    """One row a plan, with its time over that of random sampling in the same round."""
    steps = {name: scope.step(detector) for name, detector in detectors.items()}
    times = in_turn(list(steps.values()), rounds)
    rows = []
    for place, (name, step) in enumerate(steps.items()):
        low, ratio, high = quartiles([of_round[place] / of_round[0] for of_round in times])
        row: dict[str, Any] = {"scope": scope.name, "plan": name, "rounds": rounds, "time to random": ratio}
        row |= {"quartiles": [low, high], "ms": statistics.median(of_round[place] for of_round in times)}
        row |= {"peak MB": peak_bytes(step) / MEGABYTE, "saved MB": saved_bytes(scope, detectors[name]) / MEGABYTE}
        rows.append(row)
    return with_ratios(rows)


def with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    peak = {row["plan"]: row["peak MB"] for row in rows}
    for row in rows:
        row["peak to random"] = row["peak MB"] / peak["random"]
        row["peak to naive"] = row["peak MB"] / peak["naive"]
    return rows


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Each target beside what two passes do."""
    lines = []
    for row in rows:
        if row["plan"] == "two passes":
            parts = (
                f"{name} {row[name]:.2f} ({'kept' if row[name] <= most else 'MISSED'}: <= {most})"
                for name, most in TARGETS.items()
            )
            lines.append(f"{row['scope']}: {', '.join(parts)}")
    return lines


def table(rows: list[dict[str, Any]]) -> Table:
    shown = Table("part", "plan", "ms", "time / random", "peak MB", "peak / random", "peak / naive", "saved MB")
    for row in rows:
        low, high = row["quartiles"]
        shown.add_row(
            row["scope"], row["plan"], f"{row['ms']:.0f}", f"{row['time to random']:.2f} [{low:.2f}, {high:.2f}]",
            f"{row['peak MB']:.0f}", f"{row['peak to random']:.2f}", f"{row['peak to naive']:.2f}",
            f"{row['saved MB']:.0f}",
        )  # fmt: skip
    return shown


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--height", type=int, default=320, help="the shorter side")
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--rois", type=int, default=2000, help="proposals an image")
    parser.add_argument("--budget", type=int, default=64, help="proposals an image trains on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    detectors = plans(build(options), options.budget)
    rows = []
    for scope in scopes(detectors["random"], options):
        rows += measure(scope, detectors, options.rounds)
    console = Console(width=110)
    console.print(table(rows))
    for line in verdicts(rows):
        console.print(line)
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    report = {"machine": describe(), "settings": settings, "targets": TARGETS, "rows": rows}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
