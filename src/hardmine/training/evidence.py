"""A finished run's model on a few batches of its training data: what its samples are, and who pulls on its scores."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hardmine.core.boxes import pairwise_iou
from hardmine.core.samples import Activation, Evidence, GroundTruth, Samples
from hardmine.data import open_dataset
from hardmine.detectors import wrap
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.head import Head
from hardmine.equation.recipe import BEYOND_RPN
from hardmine.recipes import HeadTraits, Recipe, Slot
from hardmine.sampling import Sampling
from hardmine.training.batches import BatchOrder, training_loader
from hardmine.training.data import open_split
from hardmine.training.run import LoadedRun, load_run
from hardmine.training.trainer import SummedLoss

__all__ = ["Pulls", "Step", "TrainedRun", "foreground_scores", "open_run"]

MOST_BATCHES = 8
SEED = 0


@dataclass(frozen=True, slots=True)
class Pulls:
    """The samples that take part, as flat tensors: how hard each pulls on its scores, and what sort of sample it is.

    size: Σ |∂L/∂z| over its logits, of all the detector's losses.  iou: largest with any object.
    score: its largest of a foreground class.
    """

    size: Tensor
    is_positive: Tensor
    iou: Tensor
    score: Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch says, on the device of the detector: its samples that take part, and who pulls on their scores.

    targets: of its images.  samples: with logits; what takes no part is ignored.  slopes: ∂L/∂z of all the detector's
    losses, of the shape of the logits.
    """

    targets: list[dict[str, Any]]
    samples: Samples
    slopes: Tensor


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished run's detector and some of its training batches. Every look at them sees the same randomness.

    batches: lists of images and of targets; what can be gone through only once will do for one look.
    """

    loaded: LoadedRun
    batches: Iterable[Any]
    source: str

    @property
    def traits(self) -> HeadTraits:
        """What the head that gives the detections is like."""
        return self.loaded.detector.final_head.traits

    @torch.no_grad()
    def samples(self, needs: frozenset[Evidence]) -> list[Samples]:
        """All samples of that head with this evidence, batch by batch; nothing is sampled away."""
        model = self._under(Recipe("recorder", lambda _: {"select": Slot(_Recorder(needs))}, on=BEYOND_RPN))
        recorder: Any = model.detector.final_head.select
        found: list[Samples] = []
        with _same_randomness():
            for batch in self.batches:  # without gradient, a framework takes a batch for one of validation
                with torch.set_grad_enabled(self.traits.is_framework):
                    model(*batch)
                found.append(_without_gradient(recorder.seen[0]))
                recorder.seen.clear()
        return found

    def pulls(self, recipe: Recipe) -> Pulls:
        """Who pulls how hard on the scores of that head in one step under the recipe, over all batches.

        Raises: EvidenceError: the recipe cannot be put on this detector.
        """
        pulls = [_pulls(step, self.traits.activation) for step in self.steps(recipe)]
        return Pulls(*(torch.cat(parts) for parts in zip(*pulls, strict=True)))

    def steps(self, recipe: Recipe) -> Iterator[Step]:
        """The same batch by batch, sample by sample: nothing is held of a batch once the next is asked for.

        Until the last is taken, the random stream is that of the look.
        Raises: EvidenceError: the recipe cannot be put on this detector.
        """
        model = self._under(recipe)
        with _watched(model.detector.final_head) as seen, _same_randomness():
            for images, targets in self.batches:
                loss = model(images, targets)["loss"]
                samples = seen[-1]
                seen.clear()
                (slopes,) = torch.autograd.grad(loss, samples["logits"])
                yield Step(targets, _without_gradient(samples), slopes)

    def _under(self, recipe: Recipe) -> SummedLoss:
        detector = self.loaded.detector
        model = SummedLoss(wrap(detector.model, recipe, image_size=self.loaded.config.side))
        return model.to(next(detector.parameters()).device).train()


def open_run(run: Path, data: str | None = None, split: str | None = None, images: Path | None = None) -> TrainedRun:
    """Opens a finished run with batches of its own training split, or of another split or data set.

    Raises: RunError: it is no finished run.  DataError: the data cannot be used, or have other classes.
    """
    loaded = load_run(run)
    config = loaded.config if images is None else replace(loaded.config, images=str(images))
    if data is None:
        dataset = open_split(config, split or config.train_split, loaded.classes)
    else:
        dataset = open_dataset(data, split, classes=loaded.classes, images=images)
    loader = training_loader(dataset, config, BatchOrder(len(dataset), config, rank=0, num_processes=1), workers=0)
    with _same_randomness():
        batches = list(islice(loader, MOST_BATCHES))
    number = sum(len(images) for images, _ in batches)
    source = f"{number} images of {dataset.name} ({dataset.split}); {config.detector} of run {run.resolve().name}"
    return TrainedRun(loaded, batches, source)


class _Recorder(Sampling):
    """Counts every sample once, and remembers what it was shown."""

    def __init__(self, needs: frozenset[Evidence]):
        super().__init__()
        self.needs = needs
        self.seen: list[Samples] = []

    def weigh(self, samples: Samples) -> Tensor:
        self.seen.append(samples)
        return torch.ones_like(samples.assignment.iou)


@contextmanager
def _same_randomness() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        yield


def _without_gradient(samples: Samples) -> Samples:
    return samples if samples.logits is None else replace(samples, logits=samples.logits.detach())


@contextmanager
def _watched(head: Head | FrameworkHead) -> Iterator[list[Samples]]:
    """The samples that take part, call by call, with their logits as the losses have them.

    The box loss's sampling is shown just these, also where only a first pass looks at everything.
    """
    seen: list[Samples] = []
    if isinstance(head, Head):
        with head.regress.sampling.register_forward_pre_hook(lambda _, given: seen.append(given[0])):
            yield seen
        return
    objects: list[GroundTruth] = []
    before = head.register_forward_pre_hook(lambda _, given: objects.append(given[1]))
    within = head.regress.register_forward_pre_hook(lambda _, given: seen.append(_with_iou(given[0], objects.pop())))
    with before, within:
        yield seen


def _with_iou(samples: Samples, ground_truth: GroundTruth) -> Samples:
    """The samples with the largest IoU of their predicted boxes with any object: such heads assign by no IoU."""
    iou = pairwise_iou(ground_truth.boxes.to(samples["predicted_boxes"].dtype), samples["predicted_boxes"].detach())
    return replace(samples, assignment=replace(samples.assignment, iou=iou.amax(dim=1)))


def _pulls(step: Step, activation: Activation) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assignment, is_valid = step.samples.assignment, step.samples.assignment.is_valid
    score = foreground_scores(step.samples["logits"], activation)
    size = step.slopes.abs().sum(-1)
    return size[is_valid], assignment.is_positive[is_valid], assignment.iou[is_valid], score[is_valid]


def foreground_scores(logits: Tensor, activation: Activation) -> Tensor:
    """The largest score of a foreground class, (B, N), of logits (B, N, C), or (B, N, C + 1) of a softmax."""
    scores = logits.sigmoid() if activation == "sigmoid" else logits.softmax(-1)[..., :-1]
    return scores.amax(-1)
