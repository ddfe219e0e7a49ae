"""What does each recipe cost on a device, in the heads of the detectors that take it? Counted without one.

Everything between what the network says and the gradient that it gets back: assignment, samplings, losses, normalisers,
forward + backward, with the shapes of torchvision's own detectors (R50-FPN at 800 x 1333, SSD300; 4 images of 20
objects). The network itself costs nothing here: its layers are exchanged for ones that return empty tensors of the same
shapes. Counts are those of `device_cost`, on torch's meta device.

Of heads whose framework computes the losses itself (YOLO at 640 pixels, a layer of a DETR) what a recipe adds to these
is counted: the assignment, whosever, and the framework's unreduced losses are given.

Beside them torchvision's own losses, counted alike. They wait for the host, so they run on a CPU, where kernels on a
device and operations are nearly the same number.

    python -m benchmarks.head_cost           counts and prints
    python -m benchmarks.head_cost --write   and keeps the counts in results/head_cost.json, which a test holds
"""

import argparse
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

import hardmine as hm
from benchmarks.device_cost import HOST, Cost, as_kept, count, count_or_none, write
from benchmarks.pictures import random_boxes
from hardmine.core.samples import GroundTruth
from hardmine.detectors.traits import set_traits, soft_traits
from hardmine.equation.framework_head import FrameworkHead, FrameworkOutput
from hardmine.errors import EvidenceError

RESULT = Path(__file__).parent / "results" / "head_cost.json"
IMAGES, OBJECTS, PROPOSALS, POOLED = 4, 20, 2000, 8
OWN = "torchvision"
PADDED = (800, 1344)
MODELS: dict[str, tuple[Callable[..., Any], tuple[int, int]]] = {
    "retinanet": (detection.retinanet_resnet50_fpn, PADDED),
    "fcos": (detection.fcos_resnet50_fpn, PADDED),
    "ssd": (detection.ssd300_vgg16, (300, 300)),
    "fasterrcnn": (detection.fasterrcnn_resnet50_fpn, PADDED),
}
"""torchvision's detectors, and the size of a batch's images, padded to whole strides."""
CLASSES = 80
FRAMEWORK_HEADS = {"YOLO": (soft_traits("YOLO", CLASSES), 8400), "DETR": (set_traits("DETR", CLASSES), 300)}
"""Heads whose framework computes the losses, and how many samples an image has: what a recipe adds is counted."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the losses of a model without layers are computed of; boxes (B, G, 4) and labels (B, G) of the objects."""

    model: Any
    images: ImageList
    features: dict[str, Tensor]
    boxes: Tensor
    labels: Tensor

    @classmethod
    def of(cls, model: Any, size: tuple[int, int]) -> "Batch":
        images = ImageList(torch.empty(IMAGES, 3, *size), [size] * IMAGES)
        with torch.no_grad():
            features = model.backbone(images.tensors)
            _exchange_layers(model, list(features.values()), size)
        boxes = random_boxes(IMAGES * OBJECTS, *size).unflatten(0, (IMAGES, OBJECTS))
        return cls(model, images, features, boxes, torch.ones(IMAGES, OBJECTS, dtype=torch.long))

    def under(self, detector: hm.Detector) -> dict[str, Tensor]:
        objects = GroundTruth(self.boxes, self.labels, self.labels > 0, self.boxes[:, :0])
        return detector.head_losses(self.images, self.features, objects, [])

    def by_torchvision(self) -> dict[str, Tensor]:
        """What the model's own forward does behind its layers."""
        model, targets = (
            self.model,
            [{"boxes": boxes, "labels": labels} for boxes, labels in zip(self.boxes, self.labels, strict=True)],
        )
        if isinstance(model, detection.FasterRCNN):
            proposals, of_anchors = model.rpn(self.images, self.features, targets)
            return of_anchors | model.roi_heads(self.features, proposals, self.images.image_sizes, targets)[1]
        said, anchors = model.head(None), model.anchor_generator(None, None)
        if isinstance(model, detection.FCOS):
            return model.compute_loss(targets, said, anchors, self._cells())
        if isinstance(model, SSD):
            matched = [model.proposal_matcher(box_iou(boxes, anchors[0])) for boxes in self.boxes]
            return model.compute_loss(targets, said, anchors, matched)
        return model.compute_loss(targets, said, anchors)

    def _cells(self) -> list[int]:
        return [level.shape[-2] * level.shape[-1] for level in self.features.values()]


def _exchange_layers(model: Any, features: list[Tensor], size: tuple[int, int]) -> None:
    """Behind the backbone nothing is left that computes: layers say tensors of the shape that they had said."""
    dense = model.rpn if isinstance(model, detection.FasterRCNN) else model
    dense.head.forward, num = _shapes(dense.head(features))
    anchors = [random_boxes(num, *size)] * IMAGES
    dense.anchor_generator.forward = lambda *_: anchors
    if isinstance(model, detection.FasterRCNN):
        _exchange_roi_layers(model, size)


def _shapes(output: Any) -> tuple[Callable[..., Any], int]:
    """What says new leaves of these shapes at each call, and how many anchors an image has."""
    if isinstance(output, dict):
        num = output["bbox_regression"].shape[1]
        return lambda *_: {name: said(*value.shape) for name, value in output.items()}, num
    num = sum(level[0].numel() for level in output[0])
    return lambda *_: tuple([said(*level.shape) for level in part] for part in output), num


def said(*shape: int) -> Tensor:
    """What a layer says: where the gradient of what is counted ends."""
    return torch.empty(shape, requires_grad=True)


def _exchange_roi_layers(model: Any, size: tuple[int, int]) -> None:
    """Proposals are given too: the non-maximum suppression of the RPN is torchvision's, and waits for the host."""
    proposals, roi = [random_boxes(PROPOSALS, *size)] * IMAGES, model.roi_heads
    scores = roi.box_predictor.cls_score.out_features
    model.rpn.filter_proposals = lambda *_: (proposals, None)
    roi.box_roi_pool.forward = lambda _, boxes, __: torch.empty(sum(map(len, boxes)), POOLED)
    roi.box_head.forward = lambda pooled: pooled
    roi.box_predictor.forward = lambda pooled: (said(len(pooled), scores), said(len(pooled), 4 * scores))


def _step(losses: Callable[[], dict[str, Tensor]]) -> Callable[[], None]:
    return lambda: torch.stack(list(losses().values())).sum().backward()


def _model(name: str) -> tuple[Any, tuple[int, int]]:
    make, size = MODELS[name]
    return make(weights=None, weights_backbone=None).train(), size


def _weigh(head: FrameworkHead, num: int) -> Callable[[], dict[str, Tensor]]:
    """What a recipe adds to the losses of a framework: unreduced losses and matching are given, as it gives them."""
    size = (IMAGES, num)
    boxes = random_boxes(IMAGES * num, *PADDED).unflatten(0, size)
    objects = random_boxes(IMAGES * OBJECTS, *PADDED).unflatten(0, (IMAGES, OBJECTS))
    labels = torch.ones(IMAGES, OBJECTS, dtype=torch.long)
    ground_truth = GroundTruth(objects, labels, labels > 0, objects[:, :0])
    matched = torch.zeros(size, dtype=torch.long)

    def losses() -> dict[str, Tensor]:
        logits, of_boxes = said(*size, CLASSES), said(*size)
        output = FrameworkOutput(
            matched, logits, boxes, boxes, said(*size, CLASSES), torch.empty(size), torch.ones(()), torch.empty(size)
        )
        weights = head(output, ground_truth)
        return {"classify": weights.classification, "regress": (weights.regress * of_boxes).sum()}

    return losses


def cost_of_recipe(name: str, recipe: str) -> Cost | None:
    """None if it waits for the host. Raises: EvidenceError: the detector does not take the recipe."""
    if name in FRAMEWORK_HEADS:
        traits, num = FRAMEWORK_HEADS[name]
        with torch.device("meta"):
            return count_or_none(_step(_weigh(FrameworkHead(traits, hm.RECIPES[recipe]()), num)))
    with torch.device("meta"):
        model, size = _model(name)
        detector = hm.wrap(model, hm.RECIPES[recipe]()).train()  # before its layers are not torchvision's any more
        batch = Batch.of(model, size)
        return count_or_none(_step(lambda: batch.under(detector)))


def costs_of_recipes(name: str) -> dict[str, Cost | None]:
    """Of every recipe that the detector takes."""
    found: dict[str, Cost | None] = {}
    for recipe in hm.RECIPES:
        with suppress(EvidenceError):
            found[recipe] = cost_of_recipe(name, recipe)
    return found


def cost_of_torchvision(name: str) -> Cost:
    """Of the detector's own losses, on a CPU."""
    torch.manual_seed(0)
    batch = Batch.of(*_model(name))
    return count(_step(batch.by_torchvision))


def table(found: dict[str, dict[str, Cost | None]], own: dict[str, Cost]) -> Table:
    """Recipes down, detectors across: kernels, and gigabytes read and written."""
    shown = Table("recipe", *found)
    for recipe in hm.RECIPES:
        shown.add_row(recipe, *(_cell(costs, recipe) for costs in found.values()))
    shown.add_row(OWN, *(_cell(own, name) for name in found))
    return shown


def _cell(costs: Mapping[str, Cost | None], name: str) -> str:
    if name not in costs:
        return ""
    cost = costs[name]
    return HOST if cost is None else f"{cost.kernels}, {(cost.read + cost.written) / 1e9:.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the counts")
    options = parser.parse_args()
    found = {name: costs_of_recipes(name) for name in (*MODELS, *FRAMEWORK_HEADS)}
    own = {name: cost_of_torchvision(name) for name in MODELS}
    Console(width=120).print(table(found, own))
    if options.write:
        kept = {name: {recipe: as_kept(cost) for recipe, cost in costs.items()} for name, costs in found.items()}
        write(
            RESULT,
            heads=kept,
            torchvision={name: asdict(cost) for name, cost in own.items()},
            images=IMAGES,
            objects=OBJECTS,
        )


if __name__ == "__main__":
    main()
