"""Where a recipe's weights enter ultralytics' losses: the one method in which a head assigns its targets and sums.

    gains · (1/S) · (Σ w ℓ_ciou s, Σ w ℓ_bce, Σ w ℓ_dfl s)      s: score of a positive's target,  S = max(1, Σ s)

A `WeightedLoss` stands in for `get_assigned_targets_and_loss` of a loss object, which it calls, and looks at what that
gave to its parts: the assigner, the binary cross entropy, the box loss. No formula of the framework is repeated here:
the cross entropy comes unreduced, and the sums of the box loss are linear in what each sample weighs, so that weights
are multiplied into its argument, and the loss of a single sample is the derivative by its weight.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hardmine.assign import Assigner
from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import BACKGROUND, Assignment, GroundTruth, Levels, Predictions
from hardmine.detectors.traits import soft_traits
from hardmine.equation.framework_head import FrameworkHead, FrameworkOutput, check_agreement
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError
from hardmine.files.versions import version_of

__all__ = ["WeightedLoss", "check_model", "losses_of", "make_heads", "new_criterion", "put", "take_away"]

PACKAGE = "ultralytics"
SEAM = "get_assigned_targets_and_loss"
PARTS = ("assigner", "bce", "bbox_loss")
SMALLEST = 1e-30
"""Of sums that are compared: the box losses of small objects, and a detector that knows nothing yet, are 1e-17."""


def check_model(model: Any) -> None:
    """Raises ConfigError: anything but a `DetectionModel` with ultralytics' own detection loss."""
    from ultralytics.nn.modules.head import Detect, v10Detect
    from ultralytics.nn.tasks import DetectionModel

    kind = type(model)
    is_own = issubclass(kind, DetectionModel) and all(
        getattr(kind, name) is getattr(DetectionModel, name) for name in ("loss", "init_criterion")
    )
    head = type(model.model[-1]) if is_own else None
    if head not in (Detect, v10Detect):
        what = kind.__name__ if head is None else f"{kind.__name__} with a {head.__name__}"
        raise ConfigError(
            f"got ultralytics' {what}; expected a DetectionModel with a Detect head and its own loss "
            "(YOLOv8, YOLO11, YOLO12, YOLO26, ...): models of segments, poses or rotated boxes have other losses"
        )


def new_criterion(model: Any) -> Any:
    """The model's own loss, anew; hyperparameters that it does not have are ultralytics' defaults."""
    from ultralytics.cfg import get_cfg
    from ultralytics.utils import DEFAULT_CFG_DICT, IterableSimpleNamespace

    check_model(model)
    if not hasattr(model, "args"):
        model.args = get_cfg()
    criterion = model.init_criterion()
    for loss in losses_of(criterion).values():
        if isinstance(loss.hyp, Mapping):  # of a model that a trainer has not had yet
            loss.hyp = IterableSimpleNamespace(**{**DEFAULT_CFG_DICT, **loss.hyp})
    return criterion


def losses_of(criterion: Any) -> dict[str, Any]:
    """The loss object of each head by name: "detect", or "one2many" and "one2one" of an end-to-end detector.

    Raises: ConfigError: another criterion.
    """
    from ultralytics.utils.loss import E2EDetectLoss, E2ELoss, v8DetectionLoss

    if type(criterion) in (E2ELoss, E2EDetectLoss):
        losses = {"one2many": criterion.one2many, "one2one": criterion.one2one}
    else:
        losses = {"detect": criterion}
    for loss in losses.values():
        if type(loss) is not v8DetectionLoss:
            raise ConfigError(
                f"got the criterion {type(criterion).__name__} with {type(loss).__name__}; expected ultralytics' "
                "v8DetectionLoss, alone or in an E2ELoss"
            )
    return losses


def make_heads(criterion: Any, recipe: Recipe) -> dict[str, FrameworkHead]:
    """The weights of each head under the recipe, all alike, on the criterion's device.

    Raises: ConfigError, EvidenceError: as `FrameworkHead`.
    """
    return {
        name: FrameworkHead(soft_traits(PACKAGE, loss.nc), recipe).to(loss.device)
        for name, loss in losses_of(criterion).items()
    }


def put(criterion: Any, heads: Any) -> dict[str, "WeightedLoss"]:
    """Puts the weights, by the name of each head, into the losses of the criterion; what was put there before goes."""
    weighted = {name: WeightedLoss(loss, heads[name]) for name, loss in losses_of(criterion).items()}
    for stand_in in weighted.values():
        setattr(stand_in.loss, SEAM, stand_in)
    return weighted


def take_away(criterion: Any) -> None:
    """Leaves the losses of the criterion as they were."""
    for loss in losses_of(criterion).values():
        vars(loss).pop(SEAM, None)


class WeightedLoss:
    """Stands in for the method of a v8DetectionLoss that assigns and sums, and returns what that returns.

    With gradients off (validation) the framework's own numbers stand, and nothing is remembered. A copy or a pickle of
    the loss object has the framework's method again: it opens where hardmine is not installed, and is not weighed.

    Raises: FrameworkError: in the first steps, the framework's sums are not those of its terms.
    """

    def __init__(self, loss: Any, head: Any):
        self.loss, self.head = loss, head
        self._strides = tuple(loss.stride.tolist())
        self._expected: GroundTruth | None = None
        self._is_checked = False

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.loss, SEAM)  # the loss is then still without attributes of its own

    def expect(self, ground_truth: GroundTruth) -> None:
        """Says which objects the next batch has, in pixels of the network's input and in the batch's own order.

        They may have weights, and regions beside them that are to be ignored, of which ultralytics knows nothing.
        """
        self._expected = ground_truth

    def __call__(self, preds: Any, batch: Any, **named: Any) -> tuple[Any, Tensor, Any]:
        expected, self._expected = self._expected, None
        original = getattr(type(self.loss), SEAM)
        is_plain = self.head.is_untouched and (expected is None or expected.is_plain)
        if not torch.is_grad_enabled() or (is_plain and self._is_checked):
            return original(self.loss, preds, batch, **named)
        with self._watched(preds, expected) as parts:
            seen = Seen(*original(self.loss, preds, batch, **named), *parts)
        if not self._is_checked:
            self._check(seen)
        return (seen.targets, seen.losses, seen.items) if is_plain else self._weighted(seen, expected)

    @contextmanager
    def _watched(self, preds: Any, expected: GroundTruth | None) -> Iterator[tuple["Watched", ...]]:
        """The parts of the loss object, each remembering its last call; a recipe's assigner in the place of its own."""
        own = {name: getattr(self.loss, name) for name in PARTS}
        used = dict(own)
        if self.head.assigner is not None:
            used["assigner"] = OwnAssigner(self.head.assigner, self._levels(preds), expected)
        if self.head.loss is not None and self._is_checked:
            used["bce"] = _no_loss
        watched = {name: Watched(part) for name, part in used.items()}
        vars(self.loss).update(watched)
        try:
            yield tuple(watched.values())
        finally:
            vars(self.loss).update(own)

    def _levels(self, preds: Any) -> Levels:
        cells = tuple(level.shape[-2] * level.shape[-1] for level in preds["feats"])
        return Levels(cells, self._strides, (1,) * len(cells))

    def _weighted(self, seen: "Seen", expected: GroundTruth | None) -> tuple[Any, Tensor, Any]:
        ground_truth = seen.ground_truth() if expected is None else expected
        weights = self.head(self._output(seen), ground_truth)
        sums = list(seen.losses)  # box, classification, dfl or l1
        sums[1] = weights.classification.to(seen.losses.dtype) * self.loss.hyp.cls
        if seen.boxes.was_called and not self.head.leaves_boxes(ground_truth):
            box, distribution = seen.box_sums(weights.regress)
            sums[0] = box.to(seen.losses.dtype) * self.loss.hyp.box
            sums[2] = distribution.to(seen.losses.dtype) * self.loss.hyp.dfl
        losses = torch.stack(sums)
        items = dict(zip(seen.items, losses.detach(), strict=True)) if isinstance(seen.items, dict) else losses.detach()
        return seen.targets, losses, items

    def _output(self, seen: "Seen") -> FrameworkOutput:
        """The evidence of a batch."""
        needs, logits = self.head.needs, seen.bce.given[0]
        box_loss = self._box_losses(seen) if "regression_loss" in needs else torch.zeros_like(logits[..., 0])
        return FrameworkOutput(
            matched_gt=seen.matched_gt(),
            logits=logits,
            boxes=seen.assigner.given[1],
            places=seen.places().expand(len(logits), -1, -1),
            classification=seen.bce.made,
            regression=box_loss,
            divisor=seen.divisor(),
            quality=seen.quality() if "quality" in needs else None,
        )

    def _box_losses(self, seen: "Seen") -> Tensor:
        return seen.box_losses(self.loss.hyp.box, self.loss.hyp.dfl)

    def _check(self, seen: "Seen") -> None:
        """Compares the framework's sums with those of its terms, until there were boxes to compare."""
        gain, precision = self.loss.hyp.cls, seen.bce.given[0].dtype  # in half precision less is asked for
        of_boxes = at_least_float32(self._box_losses(seen)) * at_least_float32(seen.quality())
        pairs = {
            "classification loss": (seen.bce.made.sum() / seen.divisor() * gain, seen.losses[1]),
            "box loss": (of_boxes.sum() / seen.divisor(), seen.losses[0] + seen.losses[2]),
        }
        for what, (ours, theirs) in pairs.items():
            check_agreement(what, ours, theirs.to(precision), PACKAGE, version_of(PACKAGE), smallest=SMALLEST)
        self._is_checked = bool(seen.targets[0].any())


class Watched:
    """A part of a loss object that remembers what it was last given, and what it made of it."""

    def __init__(self, part: Any):
        self.part, self.was_called = part, False
        self.given: tuple[Any, ...] = ()
        self.made: Any = None

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.given, self.made, self.was_called = given, self.part(*given, **named), True
        return self.made


@dataclass(frozen=True, slots=True)
class Seen:
    """What one call of the framework's method returned, and what its parts saw.

    targets: fg (B, A), object index (B, A), boxes (B, A, 4) in pixels, points (A, 2) in strides, strides (A, 1).
    losses: (3,) with gains: box, classification, dfl or l1.  items: the same without gradient, by name; older versions
    have no names.  assigner: given scores (B, A, C), boxes, points, and of the objects labels (B, G, 1), boxes
    (B, G, 4), mask (B, G, 1); it made labels, boxes, target scores (B, A, C), fg, index.  bce: given logits; where a
    recipe brings its own loss, it makes nothing.
    boxes: the box loss, which older versions do not call where no sample is positive.
    """

    targets: Any
    losses: Tensor
    items: Any
    assigner: Watched
    bce: Watched
    boxes: Watched

    @property
    def scores(self) -> Tensor:
        """Soft targets of all samples, as they are before they are rounded to the logits' precision, (B, A, C)."""
        return self.assigner.made[2]

    def ground_truth(self) -> GroundTruth:
        return _objects(*self.assigner.given[3:6])

    def matched_gt(self) -> Tensor:
        if isinstance(self.assigner.part, OwnAssigner):
            return self.assigner.part.assignment.matched_gt
        is_positive, index = self.targets[:2]  # of which either may be floats in a batch without objects
        return torch.where(is_positive > 0, index.long(), BACKGROUND)

    def quality(self) -> Tensor:
        """The target of each positive for its own class, 0 elsewhere, (B, A)."""
        return self.scores.sum(-1)

    def divisor(self) -> Any:
        return self.boxes.given[5] if self.boxes.was_called else self.scores.sum().clamp(min=1)

    def places(self) -> Tensor:
        """A square of one stride around each point, in pixels, (1, A, 4)."""
        points, strides = map(at_least_float32, self.targets[3:5])
        return _squares(points * strides, strides).unsqueeze(0)

    def box_sums(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The two box losses without their gains, samples weighted (B, A)."""
        scores = self.boxes.given[4]
        return self._with_scores(self.boxes.given, scores * weights.unsqueeze(-1).to(scores.dtype))

    def box_losses(self, box_gain: float, distribution_gain: float) -> Tensor:
        """Both box losses of each positive together, not yet times its score, 0 elsewhere, (B, A).

        The sums are Σ s ℓ, so ℓ is their derivative by s.
        """
        if not self.boxes.was_called:
            return torch.zeros_like(self.scores[..., 0])
        given = [value.detach() if isinstance(value, Tensor) else value for value in self.boxes.given]
        given[5] = 1
        one = torch.ones_like(given[4][..., :1]).requires_grad_()
        box, distribution = self._with_scores(given, one)
        (losses,) = torch.autograd.grad(box * box_gain + distribution * distribution_gain, one)
        return losses.squeeze(-1)

    def _with_scores(self, given: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
        return self.boxes.part(*given[:4], scores, *given[5:])


class OwnAssigner:
    """A recipe's assigner with the arguments and the results of ultralytics'."""

    def __init__(self, assigner: Assigner, levels: Levels, expected: GroundTruth | None):
        self.assigner, self.levels, self.expected = assigner, levels, expected
        self.assignment: Any = None

    def __call__(
        self, scores: Tensor, boxes: Tensor, points: Tensor, labels: Tensor, objects: Tensor, mask: Tensor, **_: Any
    ) -> tuple[Tensor, ...]:
        ground_truth = _objects(labels, objects, mask) if self.expected is None else self.expected
        points = at_least_float32(points)
        squares = _squares(points, self._strides(points)).expand(len(scores), -1, -1)
        predictions = Predictions(boxes, scores)
        self.assignment = self.assigner(squares, ground_truth, levels=self.levels, predictions=predictions)
        return _as_theirs(self.assignment, ground_truth, scores.shape[-1])

    def _strides(self, points: Tensor) -> Tensor:
        per_level = zip(self.levels.num_samples, self.levels.strides, strict=True)
        return torch.cat([points.new_full((number, 1), stride) for number, stride in per_level])


def _no_loss(logits: Tensor, _: Tensor) -> Tensor:
    """In the place of a cross entropy that a recipe's own loss replaces; of a shape that class weights fit."""
    return logits.new_zeros(1, 1, logits.shape[-1])


def _as_theirs(assignment: Assignment, ground_truth: GroundTruth, num_classes: int) -> tuple[Tensor, ...]:
    """Labels, boxes, target scores, fg and object index of an assignment."""
    is_positive = assignment.is_positive
    labels = ground_truth.labels_of(assignment).clamp_min(0)
    score = torch.ones_like(assignment.iou) if assignment.quality is None else assignment.quality
    scores = at_least_float32(score).new_zeros(*labels.shape, num_classes)
    scores = scores.scatter(-1, labels.unsqueeze(-1), (score * is_positive).to(scores.dtype).unsqueeze(-1))
    return labels, ground_truth.boxes_of(assignment), scores, is_positive, assignment.matched_gt.clamp_min(0)


def _objects(labels: Tensor, boxes: Tensor, mask: Tensor) -> GroundTruth:
    """Objects as an assigner of ultralytics gets them, (B, G, 1), (B, G, 4), (B, G, 1); of which G may be 0."""
    if boxes.shape[1] == 0:
        labels, boxes, mask = (of.new_zeros(len(of), 1, of.shape[-1]) for of in (labels, boxes, mask))
    nothing = boxes.new_zeros(len(boxes), 0, 4)
    return GroundTruth(boxes, labels.squeeze(-1).long(), mask.squeeze(-1) > 0, nothing)


def _squares(centres: Tensor, sides: Tensor) -> Tensor:
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=-1)
