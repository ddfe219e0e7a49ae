"""Watching a training: hooks on the heads, and on their scores, that sum up who pulls on these, step by step.

A head is asked nothing twice: what its samples are, their losses, their weights and Z are taken as it computes them,
and the gradient of its scores as it passes by in the backward pass. No random number is drawn, and no tensor of the
training is changed.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hardmine.core.boxes import area, paired_iou, pairwise_iou
from hardmine.core.samples import GroundTruth, Samples
from hardmine.detectors.attached import Attached
from hardmine.detectors.detector import Detector
from hardmine.detectors.targets import split_crowds
from hardmine.detectors.weighted_layers import SIDE
from hardmine.diagnosis.bins import contour_bin
from hardmine.diagnosis.head_tables import HeadTables, head_tables, pixel_tables
from hardmine.diagnosis.inspection import Inspection, write_inspection
from hardmine.diagnosis.look import Look, PixelLook, kinds_of, look_at, look_at_pixels
from hardmine.diagnosis.tally import PixelTally, Tally
from hardmine.equation.framework_head import FrameworkHead, FrameworkOutput, FrameworkWeights
from hardmine.equation.head import Head, HeadLosses, HeadOutput
from hardmine.equation.pixel_head import PixelHead
from hardmine.errors import ConfigError, RunError
from hardmine.sampling.base import times

__all__ = ["Watched", "watch"]

USUAL_SIDE = 640


@contextmanager
def watch(
    detector: Detector | Attached | nn.Module,
    *,
    classes: Sequence[str] | None = None,
    image_size: int = USUAL_SIDE,
) -> Iterator["Watched"]:
    """Sums up where the gradient comes from, in a training that goes on as without it.

        with hardmine.diagnosis.watch(detector) as watched:        # hm.wrap(...), or what hm.attach(...) returned
            for images, targets in loader:
                loss = sum(detector(images, targets).values())
                loss.backward()
                optimizer.step()
        print(watched.summary())

    Of a segmenter the images and masks of a step are its batch: `segmenter(images, masks)`.

    Only steps with a backward pass are counted, and of a step with several the first that reaches the scores. Of a RoI
    head those proposals are samples that it is run on. With several processes each watches its own share.

    Args: classes: names of the labels 0..C-1.
        image_size: side in pixels of an image, by which objects are small or large where a framework has boxes as
            shares of the image only (DETRs by their own trainers); wrapped detectors are told.
    Raises: ConfigError: nothing that a recipe was put on, or a detector whose losses are compiled.
    """
    watched = Watched(classes, image_size)
    with ExitStack() as stack:
        if isinstance(detector, Attached):
            stack.enter_context(watched._of_attached(detector))
        else:
            stack.enter_context(watched._of_module(detector))
        yield watched
    watched._settle()


class Watched:
    """What has been seen so far, head by head; it can be asked at any time, in the training or after it."""

    def __init__(self, classes: Sequence[str] | None, image_size: int):
        self.classes, self.image_size, self.share = classes, image_size, 1.0
        self._heads: dict[str, _HeadWatch] = {}
        self._targets: Any = None
        self._strides: dict[int, Tensor] = {}

    def tables(self, images: Sequence[str] | None = None) -> dict[str, HeadTables]:
        """Tables and numbers of each head that was seen. images: their names, in the order in which they came.

        Raises: RunError: no step with a gradient was seen.
        """
        self._settle()
        seen = {name: head.tally for name, head in self._heads.items() if head.tally is not None}
        if not seen:
            raise RunError(
                "no training step with a gradient was seen: train within `with watch(detector) as watched:`, by the "
                "detector that was given, and ask after loss.backward()"
            )
        return {name: _tables(tally, self._classes_of(name), images) for name, tally in seen.items()}

    def summary(self, name: str = "watched", images: Sequence[str] | None = None) -> Inspection:
        """Everything seen, as `hardmine diagnose` has it; name: what the recipe is to be called.

        Raises: RunError: no step with a gradient was seen.
        """
        tables = self.tables(images)
        number = max(int(of.totals["images"]) for of in tables.values())
        kind = next(iter(self._heads.values())).head.traits.detector
        return Inspection.of(kind, {name: tables}, data="as it was trained on", split="", num_images=number)

    def write(self, folder: Path | str, name: str = "watched") -> Path:
        """Writes the summary into a new folder, as `hardmine diagnose` does. Raises: RunError: it is there already."""
        return write_inspection(self.summary(name), Path(folder))

    def look_back(self, loss: Tensor, share: float = 1.0) -> None:
        """In the place of `loss.backward()`: only as far back as the scores, so that no parameter gets a gradient.

        share: how much the step counts beside others: of a smaller batch, its share of a whole one, since losses are
        means over what is in a batch.
        """
        inputs = [tensor for head in self._heads.values() for tensor in head.take_inputs()]
        self.share = share
        torch.autograd.grad(loss, inputs, allow_unused=True)
        self._settle()
        self.share = 1.0

    def _classes_of(self, name: str) -> Sequence[str] | None:
        return ("object",) if self._heads[name].head.traits.name == "rpn" else self.classes

    def _settle(self) -> None:
        for head in self._heads.values():
            head.settle()

    @contextmanager
    def _of_module(self, module: nn.Module) -> Iterator[None]:
        heads = {name: of for name, of in module.named_modules() if isinstance(of, Head | FrameworkHead | PixelHead)}
        if not heads:
            raise ConfigError(
                f"got {type(module).__name__}, on which no recipe was put: give what hardmine.wrap(model, recipe) or "
                "hardmine.attach(model, recipe) returned"
            )
        for name, head in heads.items():
            _refuse_compiled(name, head)
        with ExitStack() as stack:
            for part in module.modules():
                if isinstance(part, Detector):
                    stack.enter_context(part.register_forward_pre_hook(self._see_targets, with_kwargs=True))
                if hasattr(part, "num_anchors_per_location"):
                    stack.enter_context(part.register_forward_hook(self._see_grid))
            self._hook({_head_name(name, head): head for name, head in heads.items()}, stack)
            yield

    @contextmanager
    def _of_attached(self, attached: Attached) -> Iterator[None]:
        with ExitStack() as stack:
            self._hook(dict(attached.heads.items()), stack)
            stack.enter_context(attached.seen())
            anew = _Anew(self, attached, stack)
            attached.when_made.append(anew)
            stack.callback(attached.when_made.remove, anew)
            yield

    def _hook(self, heads: Mapping[str, Any], stack: ExitStack) -> None:
        for name, head in heads.items():
            tally = self._heads[name].tally if name in self._heads else None
            self._heads[name] = _HeadWatch(head, self, tally)
            stack.enter_context(self._heads[name].hooked())

    def _see_targets(self, detector: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        self._targets = named.get("targets", args[1] if len(args) > 1 else None) if detector.training else None

    def _see_grid(self, generator: Any, given: tuple[Any, ...], _: Any) -> None:
        images, levels = given
        cells = [level.shape[-2] * level.shape[-1] for level in levels]
        numbers = [cell * each for cell, each in zip(cells, generator.num_anchors_per_location(), strict=True)]
        if sum(numbers) in self._strides:
            return
        width = images.tensors.shape[-1]
        octaves = [round(math.log2(width / level.shape[-1])) for level in levels]
        each = [
            levels[0].new_full((num,), octave, dtype=torch.int64) for octave, num in zip(octaves, numbers, strict=True)
        ]
        self._strides[sum(numbers)] = torch.cat(each)

    def areas(self, ground_truth: GroundTruth, head: Any) -> Tensor:
        """Of the objects, (B, G): by the targets as they were given, or else by what the head is told."""
        if self._targets is not None:
            objects, _ = split_crowds(self._targets, ("boxes",))
            own = [area(target["boxes"].to(ground_truth.boxes)) for target in objects]
            columns = ground_truth.boxes.shape[1]
            return pad_sequence([*own, own[0].new_zeros(columns)], batch_first=True)[:-1]
        scale = self.image_size / SIDE if head.traits.name == "set" else 1.0
        return area(ground_truth.boxes) * scale**2

    def levels(self, logits: Tensor) -> Tensor | None:
        """(B, N), of a head on an anchor grid."""
        octaves = self._strides.get(logits.shape[1])
        return None if octaves is None else octaves.expand(logits.shape[:2])


class _Anew:
    """Hooks heads that a trainer has made anew."""

    def __init__(self, watched: Watched, attached: Attached, stack: ExitStack):
        self.watched, self.attached, self.stack = watched, attached, stack

    def __call__(self) -> None:
        self.watched._hook(dict(self.attached.heads.items()), self.stack)


def _tables(tally: Tally | PixelTally, classes: Sequence[str] | None, images: Sequence[str] | None) -> HeadTables:
    make: Any = pixel_tables if isinstance(tally, PixelTally) else head_tables
    return make(tally, classes=classes, images=images)


@dataclass(eq=False, slots=True)
class _Step:
    """A step of a head whose gradient may still come: logits and codes have hooks that hold it.

    ground_truth: None of pixels, which have their classes themselves.
    """

    look: Look | PixelLook
    ground_truth: GroundTruth | None = None
    candidates: Tensor | None = None
    awaits_box: bool = False
    gradient: Tensor | None = None
    box_gradient: Tensor | None = None


@dataclass(eq=False)
class _HeadWatch:
    """Hooks on one head.

    seen: what its parts were given and made since it was last called, the first of each.
    half: steps whose scores have had their gradient, and whose boxes still wait for it.
    inputs: scores and box codes of steps that nobody has gone back to yet.
    """

    head: Any
    watched: Watched
    tally: Tally | PixelTally | None = None
    seen: dict[str, Any] = field(default_factory=dict)
    half: list[_Step] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        head = self.head
        is_ours = isinstance(head, Head | PixelHead)
        with ExitStack() as stack:
            stack.enter_context(head.register_forward_pre_hook(self._begin))
            if isinstance(head, PixelHead):
                stack.enter_context(head.register_forward_hook(self._end_of_pixels))
                stack.enter_context(head.select.register_forward_hook(self._remember("selected")))
            else:
                stack.enter_context(head.register_forward_hook(self._end, with_kwargs=True))
                stack.enter_context(head.select.register_forward_pre_hook(self._see_candidates))
            sampling = head.classify.sampling if is_ours else head.classify
            slot = head.classify if is_ours else head
            for name, part in (("own", sampling), ("loss", slot.loss), ("z", slot.normalize)):
                if part is not None:
                    stack.enter_context(part.register_forward_hook(self._remember(name)))
            yield

    def take_inputs(self) -> list[Tensor]:
        inputs, self.inputs = self.inputs, []
        return inputs

    def settle(self) -> None:
        """Counts what will not get any more."""
        for step in self.half:
            self._count(step)
        self.half.clear()

    def _remember(self, name: str) -> Callable[..., None]:
        def remember(_: Any, __: Any, made: Tensor) -> None:
            self.seen.setdefault(name, made.detach())

        return remember

    def _begin(self, *_: Any) -> None:
        for name in ("own", "loss", "z", "selected"):
            self.seen.pop(name, None)
        self.settle()

    def __deepcopy__(self, _: Any) -> "_HeadWatch":
        """A copy of a detector, such as the average of its weights, does not take a watch with it."""
        return self

    def _see_candidates(self, _: Any, given: tuple[Samples, ...]) -> None:
        self.seen["samples"] = given[0]

    def _end(self, head: Any, args: tuple[Any, ...], named: Mapping[str, Any], made: Any) -> None:
        output = args[0]
        samples: Samples | None = self.seen.pop("samples", None)
        if not (torch.is_grad_enabled() and output.logits.requires_grad):
            return
        with torch.no_grad():
            look = (
                self._look(*args, made=made, **named)
                if isinstance(head, Head)
                else self._look_at_theirs(output, args[1], samples, made)
            )
        codes = output.codes if isinstance(head, Head) and output.codes.requires_grad else None
        candidates = None if samples is None else kinds_of(samples.assignment, _without_extent(samples.boxes))
        self._await(_Step(look, args[1], candidates, codes is not None), output.logits, codes)

    def _end_of_pixels(self, head: PixelHead, args: tuple[Tensor, Tensor], _: Tensor) -> None:
        logits, labels = args
        if not (torch.is_grad_enabled() and logits.requires_grad):
            return
        selected, own, loss = self.seen["selected"], self.seen.get("own"), self.seen.get("loss")
        with torch.no_grad():
            weights = selected if own is None else times(selected, own)
            look = look_at_pixels(
                logits,
                labels,
                contour=contour_bin(labels),
                weight=weights,
                loss=_contributions(loss, weights, self.seen.get("z"), head.scale),
            )
        self._await(_Step(look), logits, None)

    def _await(self, step: _Step, logits: Tensor, codes: Tensor | None) -> None:
        logits.register_hook(lambda gradient: self._came(step, gradient))
        self.inputs = [logits]
        if codes is not None:
            codes.register_hook(lambda gradient: self._came(step, gradient, is_box=True))
            self.inputs.append(codes)

    def _came(self, step: _Step, gradient: Tensor, *, is_box: bool = False) -> None:
        name = "box_gradient" if is_box else "gradient"
        if getattr(step, name) is not None:
            return
        size = gradient.detach().abs().float()
        setattr(step, name, size.flatten(2).sum(1) if isinstance(step.look, PixelLook) else size.sum(-1))
        if step.gradient is not None and (step.box_gradient is not None or not step.awaits_box):
            self._count(step)
            self.half = [other for other in self.half if other is not step]
        elif not is_box:
            self.half.append(step)

    def _count(self, step: _Step) -> None:
        if self.tally is None:
            make = PixelTally if isinstance(step.look, PixelLook) else Tally
            self.tally = make(self.head.traits.num_classes, step.look.kind.device)
        if step.gradient is None:
            return
        if isinstance(self.tally, PixelTally) and isinstance(step.look, PixelLook):
            self.tally.add(step.look, step.gradient, self.watched.share)
        elif isinstance(self.tally, Tally) and isinstance(step.look, Look) and step.ground_truth is not None:
            self.tally.add(step.look, step.gradient, step.box_gradient, self.watched.share)
            self.tally.add_labels(step.ground_truth.labels, step.look.is_object)
            self.tally.add_candidates(step.look.kind if step.candidates is None else step.candidates)

    def _look(
        self,
        output: HeadOutput,
        ground_truth: GroundTruth,
        assignment: Any,
        boxes: Tensor,
        selected: Tensor | None = None,
        *,
        made: HeadLosses,
    ) -> Look:
        """Of a head whose losses are ours. What was chosen before it was run has left nothing that is ignored."""
        assignment = ground_truth.counted(assignment)
        is_padding = _without_extent(boxes) if selected is None else torch.ones_like(boxes[..., 0]).bool()
        predicted = self.head.coder.decode(output.codes.detach(), output.anchors)
        own, loss = self.seen.get("own"), self.seen.get("loss")
        weights = made.selected.detach() if own is None else times(made.selected.detach(), own)
        scale = self.head.classify.scale
        return look_at(
            output.logits,
            self.head.traits.activation,
            assignment,
            ground_truth,
            kind=kinds_of(assignment, is_padding),
            box_iou=paired_iou(predicted, ground_truth.boxes_of(assignment).to(predicted.dtype)),
            weight=weights,
            loss=_contributions(loss, weights, self.seen.get("z"), scale if isinstance(scale, float | int) else 1.0),
            level=self.watched.levels(output.logits),
            areas=self.watched.areas(ground_truth, self.head),
        )

    def _look_at_theirs(
        self, output: FrameworkOutput, ground_truth: GroundTruth, samples: Any, made: FrameworkWeights
    ) -> Look:
        """Of a head whose losses are its framework's. Its samples have no boxes but those that it predicts."""
        assignment, boxes = samples.assignment, output.boxes.detach().float()
        objects = ground_truth.boxes.float()
        own_loss = self.seen.get("loss") if self.head.loss is not None else output.classification.detach()
        listwise = self.head.loss is not None and self.head.loss.listwise
        z = output.divisor if self.head.normalize is None else self.seen.get("z")
        stride = output.places[..., 2] - output.places[..., 0]
        assignment = type(assignment)(assignment.matched_gt, pairwise_iou(objects, boxes).amax(1))
        return look_at(
            output.logits,
            self.head.traits.activation,
            assignment,
            ground_truth,
            kind=kinds_of(assignment),
            box_iou=paired_iou(boxes, ground_truth.boxes_of(assignment).float()),
            weight=made.classify.detach(),
            loss=_contributions(None if listwise else own_loss, made.classify.detach(), z, 1.0),
            level=stride.log2().round().long() if self.head.traits.name == "soft" else None,
            areas=self.watched.areas(ground_truth, self.head),
        )


def _without_extent(boxes: Any) -> Any:
    """(B, N) which are none, as padding is; None of samples without boxes."""
    return None if boxes is None else ~(boxes[..., 2:] > boxes[..., :2]).all(-1)


def _contributions(loss: Tensor | None, weights: Tensor, z: Any, scale: float) -> Tensor | None:
    """w ℓ / Z of each sample, (B, N), of losses and weights (B, N) or (B, N, C); None of a listwise loss."""
    if loss is None or loss.ndim < 2 or z is None:
        return None
    if loss.ndim > weights.ndim:
        loss = loss.sum(-1)
    z = z.to(loss.dtype) if isinstance(z, Tensor) else z
    weighted = torch.where(weights > 0, loss, 0) * weights
    weighted = weighted.sum(-1) if weighted.ndim > 2 else weighted
    return weighted / z * scale


def _head_name(name: str, head: Any) -> str:
    """As a report calls it: "dense", "rpn", "roi", "roi 0" of a cascade, "last" of a decoder."""
    short = name.split(".")
    last = short[-1].removesuffix("_head")
    if last.isdigit():
        return f"{head.traits.name} {last}"
    return head.traits.name if last in ("", "head") else last


def _refuse_compiled(name: str, head: Any) -> None:
    if getattr(head, "_compiled_call_impl", None) is not None:
        raise ConfigError(
            f"the losses of {name} are compiled, and what is computed within cannot be seen; watch the detector as "
            "hardmine.wrap returned it, before hardmine.compile"
        )
