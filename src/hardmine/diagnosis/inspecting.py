"""Looking into a detector on some images: under its own recipe and under others, on the same weights.

No training step is taken. Every recipe sees the same images in the same order and the same random numbers. A RoI head
is run on all its proposals, whatever the recipe samples, so that two recipes have the same samples; the gradient goes
back as far as the scores only, and statistics of batches stay as they were learnt.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hardmine.core.samples import Evidence, Samples
from hardmine.data import DetectionDataset, open_dataset
from hardmine.data.derived import some_images
from hardmine.data.transforms import collate
from hardmine.detectors import Detector, wrap
from hardmine.diagnosis.head_tables import HeadTables
from hardmine.diagnosis.held_back import Diagnosis, diagnose
from hardmine.diagnosis.inspection import Inspection
from hardmine.diagnosis.watching import watch
from hardmine.equation.head import Head, HeadOutput
from hardmine.errors import EvidenceError, RunError
from hardmine.recipes import RECIPES, Recipe
from hardmine.sampling import Sampling
from hardmine.training import TrainingConfig, load_run
from hardmine.training.data import open_split, open_training_data
from hardmine.training.processes import start_accelerator
from hardmine.training.proposals import with_proposals
from hardmine.training.recipe_names import make_recipe
from hardmine.training.run import make_detector
from hardmine.training.trainer import SummedLoss

__all__ = ["NUM_IMAGES", "contrast_of", "inspect_detector", "inspect_run"]

NUM_IMAGES = 256
"""Images that are looked at, where there are so many."""
SEED = 0
OWN = "random"
"""The recipe that leaves a detector as its framework has it."""


def inspect_run(
    run: Path | str,
    recipes: Mapping[str, Recipe] | None = None,
    *,
    data: str | None = None,
    split: str | None = None,
    images: Path | None = None,
    num_images: int = NUM_IMAGES,
) -> Inspection:
    """Looks into a finished run: on its training split, or on another split or data set with its classes.

    Args: recipes: by the name that they are to have; None: its own, and the one that `contrast_of` gives.
        num_images: taken at random, always the same; all where there are no more.
    Raises: RunError: it is no finished run.  DataError: the data cannot be used.  EvidenceError: a recipe that the
        detector does not take.
    """
    run = Path(run)
    loaded = load_run(run)
    config = loaded.config if images is None else replace(loaded.config, images=str(images))
    if data is not None:
        dataset = open_dataset(data, split, classes=loaded.classes_by_id, images=images)
        dataset = with_proposals(dataset, config.proposals)
    elif split in (None, config.train_split):
        dataset = open_training_data(config)[0]
    else:
        dataset = open_split(config, split, loaded.classes)
    looking = _Looking(config, loaded.detector, dataset, num_images, is_trained=True)
    return looking.under(recipes, run=str(run), held_back=_held_back(run) if data is None else None)


def inspect_detector(
    config: TrainingConfig,
    recipes: Mapping[str, Recipe] | None = None,
    *,
    split: str | None = None,
    num_images: int = NUM_IMAGES,
) -> Inspection:
    """Looks into a detector as a training of this configuration would begin with it, on the split it would learn from.

    Args and errors as `inspect_run`.
    """
    dataset = open_training_data(config)[0] if split is None else open_split(config, split)
    detector = make_detector(config, len(dataset.classes))
    is_trained = config.weights != "none"
    return _Looking(config, detector, dataset, num_images, is_trained=is_trained).under(recipes)


def contrast_of(config: TrainingConfig, detector: Detector) -> tuple[str, Recipe] | None:
    """A second recipe that shows what the first one does.

    Of another recipe than the framework's own, that; of the framework's own, plain cross entropy over all samples, and
    where that is what it has already, on a RoI head, OHEM. None where the detector takes neither.
    """
    name = OWN if config.recipe != OWN else "ohem" if detector.final_head.traits.name == "roi" else "ce"
    recipe = RECIPES[name]()
    try:
        wrap(detector.model, recipe, image_size=config.side)
    except EvidenceError:
        return None
    return name, recipe


def _held_back(run: Path) -> Diagnosis | None:
    """What is wrong with its predictions; None of a run that finds nothing."""
    try:
        return diagnose(run)
    except RunError:
        return None


@dataclass(frozen=True, slots=True)
class _Looking:
    """A detector and the images it is looked at on.

    is_trained: whether the statistics of its batches have been learnt; of an untrained one they are each batch's own.
    """

    config: TrainingConfig
    detector: Detector
    dataset: DetectionDataset
    num_images: int
    is_trained: bool

    def under(
        self, recipes: Mapping[str, Recipe] | None, *, run: str | None = None, held_back: Diagnosis | None = None
    ) -> Inspection:
        """Tables under each recipe."""
        images = some_images(self.dataset, self.num_images)
        found = {name: self._tables(recipe, images) for name, recipe in (recipes or self._usual()).items()}
        return Inspection.of(
            self.config.detector,
            found,
            data=images.name,
            split=images.split,
            num_images=len(images),
            run=run,
            held_back=held_back,
        )

    def _usual(self) -> dict[str, Recipe]:
        """The detector's own recipe and the one beside it."""
        own, contrast = self.config.recipe, contrast_of(self.config, self.detector)
        found = {own: make_recipe(own, self.config.recipe_options)}
        return found if contrast is None else found | {contrast[0]: contrast[1]}

    @property
    def _batch_size(self) -> int:
        return self.config.images_per_step

    def _tables(self, recipe: Recipe, images: DetectionDataset) -> dict[str, HeadTables]:
        model, device = self.detector.model, start_accelerator().device
        detector = wrap(model, recipe, image_size=self.config.side).to(device).train()
        _keep_statistics(detector, also_of_batches=self.is_trained)
        summed = SummedLoss(detector, self.config.classification_weight)
        names = [_image_name(images, place) for place in range(len(images))]
        with (
            _at_all_proposals(detector),
            _cut_at_the_heads(detector),
            watch(detector, classes=images.classes) as watched,
        ):
            with _same_randomness():
                for batch in DataLoader(images, self._batch_size, collate_fn=collate):
                    loss = summed(*send_to_device(batch, device))["loss"]
                    watched.look_back(loss, len(batch[0]) / self._batch_size)
            return watched.tables(names)


def _image_name(images: DetectionDataset, place: int) -> str:
    return images.file_names[place] or str(images.records[place].image_id)


def _keep_statistics(detector: nn.Module, *, also_of_batches: bool) -> None:
    """No dropout, and batch statistics as they were learnt: what is found does not depend on what is in a batch."""
    for module in detector.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            if also_of_batches:
                module.eval()
            else:
                module.momentum = 0.0


@contextmanager
def _same_randomness() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield


@contextmanager
def _cut_at_the_heads(detector: Detector) -> Iterator[None]:
    """Heads of ours are given what the network says as constants: nothing of the network has to be remembered."""
    heads = [module for module in detector.modules() if isinstance(module, Head)]
    learning = [parameter for parameter in detector.model.parameters() if parameter.requires_grad] if heads else []
    hooks = [head.register_forward_pre_hook(_cut) for head in heads]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        for hook in hooks:
            hook.remove()


def _cut(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    output, *others = given
    logits, codes = (tensor.detach().requires_grad_() for tensor in (output.logits, output.codes))
    return HeadOutput(logits, codes, output.anchors), *others


@contextmanager
def _at_all_proposals(detector: Detector) -> Iterator[None]:
    """RoI heads are run on all proposals, and only then the recipe chooses."""
    heads = [module for module in detector.modules() if isinstance(module, Head) and module.traits.name == "roi"]
    own = [head.select for head in heads]
    for head in heads:
        head.select = _Afterwards(head.select)
    try:
        yield
    finally:
        for head, select in zip(heads, own, strict=True):
            head.select = select


class _Afterwards(Sampling):
    """A sampling that says it needs the scores, so that the head is run before it is asked."""

    def __init__(self, sampling: Sampling):
        super().__init__()
        self.sampling = sampling
        self.declare(sampling)
        scores: frozenset[Evidence] = frozenset({"logits"})
        self.needs = sampling.needs | scores

    def forward(self, samples: Samples) -> Tensor:
        return self.sampling(samples)

    def weigh(self, samples: Samples) -> Tensor:
        return self.sampling.weigh(samples)
