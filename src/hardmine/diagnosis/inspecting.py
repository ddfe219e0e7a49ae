"""Looking into a detector or a segmenter on some images: under its own recipe and others, on the same weights.

No training step is taken. Every recipe sees the same images in the same order and the same random numbers. A RoI head
is run on all its proposals, whatever the recipe samples, so that two recipes have the same samples; the gradient goes
back as far as the scores only, and statistics of batches stay as they were learnt. Images with masks are cut as in
training, each at the same place under every recipe, and not flipped.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hardmine.core.samples import Evidence, Samples
from hardmine.data import DetectionDataset, SegmentationDataset
from hardmine.data.derived import some_images
from hardmine.data.segmentation.records import some_masks
from hardmine.data.segmentation.transforms import MaskTransform
from hardmine.detectors import Detector, Segmenter, wrap
from hardmine.diagnosis.head_tables import HeadTables
from hardmine.diagnosis.held_back import Diagnosis, diagnose
from hardmine.diagnosis.inspection import Inspection
from hardmine.diagnosis.watching import watch
from hardmine.equation.head import Head, HeadOutput
from hardmine.equation.pixel_head import PixelHead
from hardmine.errors import EvidenceError, RunError
from hardmine.recipes import RECIPES, Recipe
from hardmine.sampling import Sampling
from hardmine.training import TrainingConfig, load_run
from hardmine.training.batches import derive_seed
from hardmine.training.data import open_split
from hardmine.training.mask_data import open_mask_split
from hardmine.training.processes import start_accelerator
from hardmine.training.recipe_names import make_recipe
from hardmine.training.run import make_detector
from hardmine.training.tasks import DETECTION, Asked, task_of

__all__ = ["NUM_IMAGES", "contrast_of", "inspect_detector", "inspect_run"]

NUM_IMAGES = 256
"""Images that are looked at, where there are so many."""
SEED = 0
OWN = "random"
"""The recipe that leaves a detector as its framework has it."""
HARD_MINING = {"roi": "ohem", "pixels": "pixel_ohem"}
"""By the kind of a head whose framework has plain cross entropy."""


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
    task = task_of(config)
    if data is None and split in (None, config.train_split):
        dataset = task.open_training_data(config)[0]
    else:
        dataset = task.open_asked(config, loaded.classes_by_id, Asked(data=data, split=split, images=images))
    looking = _Looking(config, loaded.model, dataset, num_images, is_trained=True)
    is_held_back = data is None and task is DETECTION
    return looking.under(recipes, run=str(run), held_back=_held_back(run) if is_held_back else None)


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
    task = task_of(config)
    open_other = open_split if task is DETECTION else open_mask_split
    dataset = task.open_training_data(config)[0] if split is None else open_other(config, split)
    detector = make_detector(config, len(dataset.classes))
    is_trained = config.weights != "none"
    return _Looking(config, detector, dataset, num_images, is_trained=is_trained).under(recipes)


def contrast_of(config: TrainingConfig, detector: Detector | Segmenter) -> tuple[str, Recipe] | None:
    """A second recipe that shows what the first one does.

    Of another recipe than the framework's own, that; of the framework's own, plain cross entropy over all samples, and
    where that is what it has already, hard mining: on a RoI head OHEM, of pixels the unsure ones, and a sixteenth of
    all at least. None where the detector takes neither.
    """
    kind = detector.final_head.traits.name
    own = (OWN, "ce") if kind == "pixels" else (OWN,)
    name = OWN if config.recipe not in own else HARD_MINING.get(kind, "ce")
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
    detector: Detector | Segmenter
    dataset: Any
    num_images: int
    is_trained: bool

    def under(
        self, recipes: Mapping[str, Recipe] | None, *, run: str | None = None, held_back: Diagnosis | None = None
    ) -> Inspection:
        """Tables under each recipe."""
        take: Any = some_masks if isinstance(self.dataset, SegmentationDataset) else some_images
        images = take(self.dataset, self.num_images)
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

    def _tables(self, recipe: Recipe, images: Any) -> dict[str, HeadTables]:
        model, device, task = self.detector.model, start_accelerator().device, task_of(self.config)
        detector = wrap(model, recipe, image_size=self.config.side).to(device).train()
        _keep_statistics(detector, also_of_batches=self.is_trained)
        summed = task.summed(detector, self.config)
        transform, make_batch = task.augmentation(self.config)
        shown = _Cut(images, transform.side) if isinstance(transform, MaskTransform) else images
        names = [_image_name(images, place) for place in range(len(images))]
        with (
            _at_all_proposals(detector),
            _cut_at_the_heads(detector),
            watch(detector, classes=images.classes) as watched,
        ):
            with _same_randomness():
                for batch in DataLoader(shown, self._batch_size, collate_fn=make_batch):
                    loss = summed(*send_to_device(batch, device))["loss"]
                    watched.look_back(loss, len(batch[0]) / self._batch_size)
            return watched.tables(names)


class _Cut(Dataset[tuple[Tensor, Tensor]]):
    """Images with masks as they are cut in training, at a place that depends on nothing but which image it is."""

    def __init__(self, images: SegmentationDataset, side: int):
        self.images, self.transform = images, MaskTransform(side, 0, 0)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed("look", place))
            return self.transform(*self.images[place])


def _image_name(images: DetectionDataset | SegmentationDataset, place: int) -> str:
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
def _cut_at_the_heads(detector: Detector | Segmenter) -> Iterator[None]:
    """Heads of ours are given what the network says as constants: nothing of the network has to be remembered."""
    heads = [module for module in detector.modules() if isinstance(module, Head | PixelHead)]
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
    if isinstance(output, Tensor):  # of pixels
        return output.detach().requires_grad_(), *others
    logits, codes = (tensor.detach().requires_grad_() for tensor in (output.logits, output.codes))
    return HeadOutput(logits, codes, output.anchors), *others


@contextmanager
def _at_all_proposals(detector: Detector | Segmenter) -> Iterator[None]:
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
