"""Where a recipe's weights enter the losses of a set-prediction detector: layer by layer, in its framework's order.

    gain · (1/Z) · Σ w ℓ_cls,     gain · (1/Z) · Σ w |Δ|,     gain · (1/Z) · Σ w (1 - GIoU)

A criterion of the DETR family computes, for each decoder layer and the encoder, first the loss of classes and then that
of boxes, of the same queries and with the same divisor. `WeightedLayers` is asked for both in the place of the
criterion's own functions, which it calls wherever nothing is to be weighed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hardmine.core.samples import GroundTruth
from hardmine.detectors.query_losses import QueryLoss
from hardmine.detectors.set_prediction import Indices, box_iou, box_losses, matched_objects, objects_of, to_pixels
from hardmine.equation.framework_head import FrameworkHead, FrameworkOutput, check_agreement
from hardmine.files.versions import version_of

__all__ = ["SIDE", "Dialect", "Layer", "WeightedLayers", "layer_names"]

SIDE = 1000.0
"""Pixels of an image whose size the criterion is not told: overlaps do not depend on it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a framework speaks of queries.

    package: its name.  logits, labels: under which names outputs have their logits and targets their classes.
    loss: what it loses on a query.  background: the weight of queries without an object, where the divisor of the
    classification loss is the sum of such weights.  gains: of the sum of |Δ| and of 1 - GIoU.
    """

    package: str
    loss: QueryLoss
    logits: str = "logits"
    labels: str = "class_labels"
    background: float | None = None
    gains: tuple[float, float] = (5.0, 2.0)


@dataclass(frozen=True, slots=True)
class Layer:
    """What a criterion is given for the losses of one layer: outputs, targets, indices, and its divisor."""

    name: str
    outputs: Mapping[str, Any]
    targets: Sequence[Mapping[str, Tensor]]
    indices: Indices
    divisor: Tensor | float


@dataclass(frozen=True, slots=True)
class Seen:
    """The weights of a layer's queries (B, N), and the matching and the evidence by which these were found."""

    regress: Tensor
    indices: Indices
    output: FrameworkOutput


def layer_names(outputs: Mapping[str, Any], auxiliary: str, unmined: str = "") -> dict[int, str]:
    """What each dict of outputs is called, by its id: "aux_0", ..., "encoder"; "" where nothing is mined.

    A dict that is not among them is the last layer's, of which criteria make copies.
    """
    names = {id(of): f"aux_{i}" for i, of in enumerate(outputs.get(auxiliary) or ())}
    if "enc_outputs" in outputs:
        names[id(outputs["enc_outputs"])] = "encoder"
    return names | dict.fromkeys(map(id, outputs.get(unmined) or ()), "")


class WeightedLayers:
    """The losses of all layers under a recipe.

    Stock numbers stand, to the last bit, with gradients off (evaluation; then nothing is remembered either), in layers
    that are not mined, and where the recipe leaves a head as it is.

    Raises: FrameworkError: in the first step, the framework's sums are not those of its terms.
    """

    def __init__(self, dialect: Dialect, heads: nn.ModuleDict):
        self.dialect, self.heads = dialect, heads
        self._expected: GroundTruth | None = None
        self._objects_of: tuple[Any, GroundTruth] | None = None
        self._seen: dict[str, Seen] = {}
        self._checked: set[tuple[str, str]] = set()

    def expect(self, ground_truth: GroundTruth | None) -> None:
        """Says which objects the next batches have, of an image of `SIDE` pixels; None: what the targets say.

        They may have weights, and regions beside them that are to be ignored, of which the framework knows nothing.
        """
        self._expected = ground_truth

    def classification(self, layer: Layer, stock: Callable[[], Tensor]) -> Tensor:
        """The loss of classes, without its gain; stock: the framework's own."""
        head = self._head(layer)
        if head is None:
            return stock()
        self._seen.pop(layer.name, None)
        if layer.name == "last":  # which criteria begin with: a list of targets may have been filled anew
            self._objects_of = None
        is_stock = head.sets_nothing and (self._expected is None or self._expected.is_plain)
        is_plain = is_stock and head.is_untouched
        if is_plain and (layer.name, "classes") in self._checked:
            return stock()
        output = self._output(layer, head)
        if (layer.name, "classes") not in self._checked:
            self._check(layer, "classes", output.classification.sum() / output.divisor, stock())
        if is_plain:
            return stock()
        weights = head.to(output.boxes.device)(output, self._objects(layer))
        self._seen[layer.name] = Seen(weights.regress, layer.indices, output)
        return stock() if is_stock else weights.classification

    def boxes(self, layer: Layer, stock: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The losses of boxes by name, without their gains, of the queries of the last call of `classification`."""
        head = self._head(layer)
        seen = self._seen.pop(layer.name, None)  # it holds on to the graph of the step, which no copy can be made of
        if head is None or (seen is None and (layer.name, "boxes") in self._checked):
            return stock()
        matched = self._matched(layer)
        if (layer.name, "boxes") not in self._checked:
            ours = torch.stack(list(self._box_terms(layer, matched).values())).sum() / layer.divisor
            self._check(layer, "boxes", ours, torch.stack(list(stock().values())).sum())
        if seen is None or head.leaves_boxes(self._objects(layer)):
            return stock()
        weights = seen.regress if layer.indices is seen.indices else self._look_again(layer, head, seen, matched)
        terms = self._box_terms(layer, matched).items()
        return {name: (term * weights).sum() / layer.divisor for name, term in terms}

    def _head(self, layer: Layer) -> Any:
        is_mined = layer.name in self.heads and torch.is_grad_enabled()
        return self.heads[layer.name] if is_mined else None

    def _objects(self, layer: Layer) -> GroundTruth:
        """What was expected, or else what the targets say: put together once for all layers of a batch."""
        if self._expected is not None:
            return self._expected
        if self._objects_of is None or self._objects_of[0] is not layer.targets:
            size = layer.outputs["pred_boxes"].new_full((4,), SIDE, dtype=torch.float32)
            self._objects_of = layer.targets, objects_of(layer.targets, self.dialect.labels, size)
        return self._objects_of[1]

    def _matched(self, layer: Layer) -> Tensor:
        boxes = layer.outputs["pred_boxes"]
        return matched_objects(layer.indices, boxes.shape[1], boxes.device)

    def _output(self, layer: Layer, head: FrameworkHead) -> FrameworkOutput:
        """The evidence of a layer."""
        logits, objects, matched = layer.outputs[self.dialect.logits], self._objects(layer), self._matched(layer)
        boxes = to_pixels(layer.outputs["pred_boxes"].detach().float(), logits.new_tensor(SIDE, dtype=torch.float32))
        is_positive = matched >= 0
        labels = torch.where(is_positive, objects.labels.gather(1, matched.clamp_min(0)), matched)
        loss = logits.new_zeros(())  # where a recipe's own takes its place
        if head.loss is None or (layer.name, "classes") not in self._checked:
            iou = box_iou(layer.outputs["pred_boxes"], self._goals(layer, matched), is_positive)
            loss = self.dialect.loss(logits, labels, iou)
        distance, overlap = 0, 0
        if "regression_loss" in head.needs:
            distance, overlap = (term.detach() for term in self._box_terms(layer, matched).values())
        gains = self.dialect.gains
        regression = boxes.new_zeros(boxes.shape[:2]) + gains[0] * distance + gains[1] * overlap
        return FrameworkOutput(matched, logits, boxes, boxes, loss, regression, self._divisor(layer, is_positive))

    def _divisor(self, layer: Layer, is_positive: Tensor) -> Tensor | float:
        if self.dialect.background is None:
            return layer.divisor
        return torch.where(is_positive, 1.0, self.dialect.background).sum()

    def _goals(self, layer: Layer, matched: Tensor) -> Tensor:
        """The box of each query's object (B, N, 4), as the targets have it; of no meaning without one."""
        nothing = layer.outputs["pred_boxes"].new_zeros(1, 4, dtype=torch.float32)
        boxes = pad_sequence([*(target["boxes"] for target in layer.targets), nothing], batch_first=True)[:-1]
        return boxes.gather(1, matched.clamp_min(0).unsqueeze(-1).expand(-1, -1, 4))

    def _box_terms(self, layer: Layer, matched: Tensor) -> dict[str, Tensor]:
        """Sum of |Δ| and 1 - GIoU of each query (B, N), 0 without an object."""
        distance, overlap = box_losses(layer.outputs["pred_boxes"], self._goals(layer, matched), matched >= 0)
        return {"loss_bbox": distance, "loss_giou": overlap}

    def _look_again(self, layer: Layer, head: FrameworkHead, seen: Seen, matched: Tensor) -> Tensor:
        """Weights for boxes that are matched otherwise than classes are (DEIMv2); what is remembered stays."""
        before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
        weights = head(replace(seen.output, matched_gt=matched), self._objects(layer)).regress
        head.load_state_dict(before)
        return weights

    def _check(self, layer: Layer, what: str, ours: Tensor, theirs: Tensor) -> None:
        package = self.dialect.package
        check_agreement(f"loss of {what} in layer {layer.name!r}", ours, theirs, package, version_of(package))
        if what == "classes" or any(len(query) for query, _ in layer.indices):
            self._checked.add((layer.name, what))
