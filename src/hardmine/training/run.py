"""A run as something to use: load its model, evaluate it, predict with it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed

from hardmine.data import DetectionDataset
from hardmine.detectors import SEGMENTERS, Detector, Segmenter, build, reassign_missed, wrap
from hardmine.detectors.frameworks import split_name
from hardmine.errors import ConfigError, RunError
from hardmine.predictions import written_results
from hardmine.training import checkpoint
from hardmine.training.config import TrainingConfig
from hardmine.training.folder import RunFolder
from hardmine.training.predict import predict
from hardmine.training.processes import start_accelerator
from hardmine.training.recipe_names import make_recipe
from hardmine.training.tasks import Asked, task_of

__all__ = [
    "LoadedRun",
    "evaluate_run",
    "load_run",
    "make_detector",
    "predict_dataset",
    "predict_run",
    "save_weights",
]

logger = logging.getLogger("hardmine")

FRESH_HEAD = ("none", "imagenet")  # weights that leave the detection head to start anew
CHECKPOINT = ".pt"  # of ultralytics


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A finished run's model, in evaluation mode on the CPU, and what its labels 0..C-1 mean.

    model: a `Detector`, or of a segmentation a `Segmenter`, which `predict_probabilities` (training/segment.py) runs
    over a data set; `detector` and `segmenter` give it as the one or the other.
    """

    model: Detector | Segmenter
    config: TrainingConfig
    classes: tuple[str, ...]
    category_ids: tuple[int | str, ...]

    @property
    def detector(self) -> Detector:
        """The model of a run of detection. Raises: RunError: it is of another task."""
        if isinstance(self.model, Detector):
            return self.model
        raise RunError(f"this is a run of {self.config.task}, of which there are no boxes; give a run of detection")

    @property
    def segmenter(self) -> Segmenter:
        """The model of a run of segmentation. Raises: RunError: it is of another task."""
        if isinstance(self.model, Segmenter):
            return self.model
        raise RunError(f"this is a run of {self.config.task}, of which there are no masks; give a run of segmentation")

    @property
    def classes_by_id(self) -> dict[int | str, str]:
        """The names of the labels 0..C-1, in this order, by the ids that the training data called them by."""
        return dict(zip(self.category_ids, self.classes, strict=True))


def make_detector(config: TrainingConfig, num_classes: int, *, load: bool = True) -> Any:
    """Builds the configuration's detector with initial weights that depend on the seed but not on the recipe.

    It is a `Detector`, or of a segmentation a `Segmenter`. Without `load` no pretrained weights are fetched, for a
    detector that gets its own next.

    Raises: ConfigError: as `build` and `wrap`, or it is none of the task.
    """
    recipe = make_recipe(config.recipe, config.recipe_options)
    set_seed(config.seed)
    model = build(
        config.detector,
        num_classes,
        backbone=config.backbone,
        weights=config.weights,
        image_size=config.side,
        load=load,
    )
    detector = wrap(model, recipe, image_size=config.side)
    if not isinstance(detector, task_of(config).model):
        segmenters = ", ".join(SEGMENTERS)
        raise ConfigError(
            f"{config.detector} is no model for --task {config.task}; segmenters are {segmenters} and "
            "transformers:segformer, all others find boxes"
        )
    if recipe.prior is not None and _starts_anew(config):
        detector.initialize_prior(recipe.prior)
    if config.reassign:
        reassign_missed(detector, config.reassign)
    return detector


def _starts_anew(config: TrainingConfig) -> bool:
    """Whether the layer that gives the scores has random weights: a name may be that of a file or a repository."""
    _, name = split_name(config.detector)
    return config.weights in FRESH_HEAD and "/" not in name and not name.endswith(CHECKPOINT)


def save_weights(folder: RunFolder, detector: Detector | Segmenter, facts: Mapping[str, Any]) -> None:
    """Writes the model's weights under its framework's own names, with the classes they were trained for."""
    checkpoint.save_tensors(folder.weights, detector.model.state_dict(), facts)


def load_run(run: Path | str) -> LoadedRun:
    """Opens a finished run.

    Raises:
        RunError: the folder is no run, is not finished, or its weights are damaged, not finite or of another detector.
    """
    folder = RunFolder(Path(run))
    config = folder.read_config()
    if not folder.weights.exists():
        raise RunError(f"{folder.path} is not finished: it has no {folder.weights.name}; continue it with --resume")
    tensors, facts = checkpoint.load_tensors(folder.weights)
    checkpoint.refuse_infinite(tensors, folder.weights)
    classes, category_ids = _classes(facts, folder.weights)
    detector = make_detector(config, len(classes), load=False)
    checkpoint.load_module(detector.model, tensors, folder.weights)
    return LoadedRun(detector.eval(), config, classes, category_ids)


def evaluate_run(
    run: Path | str,
    data: str | Path | None = None,
    split: str | None = None,
    images: Path | None = None,
    *,
    allow_unlabelled: bool = False,
    proposals: str | None = None,
) -> Any:
    """Measures a finished run on its own validation split, or on another split or data set with the same classes.

    The predictions on the run's own data are kept in the run folder, where that can be written.

    Args:
        proposals: of a detector that needs them; None: from where the run had its own.

    Returns: `Metrics`, of a segmentation `MaskMetrics`.
    Raises:
        RunError: as `load_run`.  DataError: the data set cannot be used or has other classes.
    """
    loaded = load_run(run)
    task, accelerator = task_of(loaded.config), start_accelerator()
    asked = Asked(data=data, split=split, images=images, allow_unlabelled=allow_unlabelled, proposals=proposals)
    dataset = task.open_asked(loaded.config, loaded.classes_by_id, asked)
    loaded.model.to(accelerator.device)
    found = task.find(loaded.model, dataset, accelerator, batch_size=loaded.config.images_per_step)
    metrics = found.metrics
    if data is None:
        try:
            found.write(task.predictions(RunFolder(Path(run)), dataset.split))
        except RunError as error:
            logger.warning("the predictions could not be kept: %s", error)
    return metrics


def predict_run(
    run: Path | str,
    data: str | Path | None,
    split: str | None,
    out: Path | str,
    images: Path | None = None,
    *,
    proposals: str | None = None,
) -> Path:
    """Writes what a finished run finds in a data set, or in images without labels, and returns where.

    A file `*.json` becomes COCO results; anything else a folder of Parquet shards, to which each process writes its
    own, and in which what was stopped goes on. Of a segmentation it is a new folder of masks, see training/segment.py.

    Args:
        proposals: of a detector that needs them; None: from where the run had its own.

    Raises:
        RunError: as `load_run`, or `out` exists.  DataError: the data set cannot be used or has other classes.
    """
    out = Path(out)
    task = task_of(RunFolder(Path(run)).read_config())
    task.refuse_out(out)
    loaded = load_run(run)
    asked = Asked(data=data, split=split, images=images, proposals=proposals, needs_labels=False)
    dataset = task.open_asked(loaded.config, loaded.classes_by_id, asked)
    accelerator = start_accelerator()
    loaded.model.to(accelerator.device)
    task.write_found(loaded.model, dataset, accelerator, out, loaded.config, asked)
    return out


def predict_dataset(run: Path | str, dataset: DetectionDataset) -> list[dict[str, Any]]:
    """What a finished run finds in a data set with its classes, as it is written. Raises RunError: as `load_run`."""
    return written_results(dataset, _predict(load_run(run), dataset, start_accelerator()))


def _classes(facts: Mapping[str, Any], source: Path) -> tuple[tuple[str, ...], tuple[int | str, ...]]:
    """Names and category ids of the labels 0..C-1. Raises RunError where the file does not have them."""
    names, ids = facts.get("classes", []), facts.get("category_ids", [])
    if _are(str, names) and _are(int, ids) and len(names) == len(ids):
        own = facts.get("own_category_ids", ids)  # runs did not always note them
        return tuple(names), tuple(own if _are((int, str), own) and len(own) == len(ids) else ids)
    raise RunError(f"{source}: its header names no classes; restore it from a copy, or train again")


def _are(kind: type | tuple[type, ...], values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, kind) for value in values)


def _predict(loaded: LoadedRun, dataset: DetectionDataset, accelerator: Accelerator) -> list[dict[str, Any]]:
    loaded.detector.to(accelerator.device)
    return predict(loaded.detector, dataset, accelerator, batch_size=loaded.config.images_per_step)
