"""A finished run's model on a few batches of its training data: what its samples are, and who pulls on its scores."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hardmine.core.samples import Evidence, Samples
from hardmine.data import open_dataset
from hardmine.detectors import wrap
from hardmine.equation.head import Head
from hardmine.equation.recipe import BEYOND_RPN
from hardmine.recipes import HeadTraits, Recipe, Slot
from hardmine.sampling import Sampling
from hardmine.training import LoadedRun, load_run
from hardmine.training.batches import BatchOrder, training_loader
from hardmine.training.data import open_split
from hardmine.training.trainer import SummedLoss

__all__ = ["Pulls", "TrainedRun", "open_run"]

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
class TrainedRun:
    """A finished run's detector and some of its training batches. Every look at them sees the same randomness."""

    loaded: LoadedRun
    batches: list[Any]
    source: str

    @property
    def traits(self) -> HeadTraits:
        """What the head that gives the detections is like."""
        return _last_head(wrap(self.loaded.detector.model, Recipe("own"))).traits

    @torch.no_grad()
    def samples(self, needs: frozenset[Evidence]) -> list[Samples]:
        """All samples of that head with this evidence, batch by batch; nothing is sampled away."""
        recorder = _Recorder(needs)
        recipe = Recipe("recorder", lambda _: {"select": Slot(recorder)}, on=BEYOND_RPN)
        model = SummedLoss(wrap(self.loaded.detector.model, recipe)).train()
        with _same_randomness():
            for batch in self.batches:
                model(*batch)
        return recorder.seen

    def pulls(self, recipe: Recipe) -> Pulls:
        """Who pulls how hard on the scores of that head in one step under the recipe, over all batches.

        Raises: EvidenceError: the recipe cannot be put on this detector.
        """
        model = SummedLoss(wrap(self.loaded.detector.model, recipe)).train()
        head, seen = _last_head(model), []
        # the box loss's sampling is shown just what takes part, also where only a first pass looks at everything
        hook = head.regress.sampling.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with hook, _same_randomness():
            pulls = [_pulls(model(*batch)["loss"], seen[-1], head) for batch in self.batches]
        return Pulls(*(torch.cat(parts) for parts in zip(*pulls, strict=True)))


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


def _last_head(detector: torch.nn.Module) -> Head:
    """Of two stages the second: its scores are those of the detections."""
    return [module for module in detector.modules() if isinstance(module, Head)][-1]


def _pulls(loss: Tensor, samples: Samples, head: Head) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits = samples["logits"]
    (slopes,) = torch.autograd.grad(loss, logits)
    scores = logits.sigmoid() if head.traits.activation == "sigmoid" else logits.softmax(-1)[..., :-1]
    assignment = samples.assignment
    parts = (slopes.abs().sum(-1), assignment.is_positive, assignment.iou, scores.detach().amax(-1))
    size, is_positive, iou, score = (part[assignment.is_valid] for part in parts)
    return size, is_positive, iou, score
