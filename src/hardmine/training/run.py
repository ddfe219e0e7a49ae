"""A run as something to use: load its detector, evaluate it, predict with it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed

from hardmine.data import DetectionDataset, open_dataset
from hardmine.detectors import Detector, build, reassign_missed, wrap
from hardmine.detectors.frameworks import split_name
from hardmine.errors import RunError
from hardmine.evaluation import Metrics, evaluate_predictions
from hardmine.files.writing import as_json, is_taken, write_json, write_new
from hardmine.predictions import written_results
from hardmine.training import checkpoint
from hardmine.training.config import TrainingConfig
from hardmine.training.data import open_split, open_training_data
from hardmine.training.folder import RunFolder
from hardmine.training.predict import predict, predict_shards
from hardmine.training.processes import start_accelerator
from hardmine.training.proposals import with_proposals
from hardmine.training.recipe_names import make_recipe

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
    """A finished run's detector, in evaluation mode on the CPU, and what its labels 0..C-1 mean."""

    detector: Detector
    config: TrainingConfig
    classes: tuple[str, ...]
    category_ids: tuple[int | str, ...]

    @property
    def classes_by_id(self) -> dict[int | str, str]:
        """The names of the labels 0..C-1, in this order, by the ids that the training data called them by."""
        return dict(zip(self.category_ids, self.classes, strict=True))


def make_detector(config: TrainingConfig, num_classes: int, *, load: bool = True) -> Detector:
    """Builds the configuration's detector with initial weights that depend on the seed but not on the recipe.

    Without `load` no pretrained weights are fetched, for a detector that gets its own next.
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
    if recipe.prior is not None and _starts_anew(config):
        detector.initialize_prior(recipe.prior)
    if config.reassign:
        reassign_missed(detector, config.reassign)
    return detector


def _starts_anew(config: TrainingConfig) -> bool:
    """Whether the layer that gives the scores has random weights: a name may be that of a file or a repository."""
    _, name = split_name(config.detector)
    return config.weights in FRESH_HEAD and "/" not in name and not name.endswith(CHECKPOINT)


def save_weights(folder: RunFolder, detector: Detector, dataset: DetectionDataset) -> None:
    """Writes the model's weights under its framework's own names, with the classes they were trained for."""
    ids = {"category_ids": dataset.category_ids, "own_category_ids": dataset.own_category_ids}
    facts = {"classes": dataset.classes, **ids}
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
) -> Metrics:
    """Measures a finished run on its own validation split, or on another split or data set with the same classes.

    The predictions on the run's own data are kept in the run folder, where that can be written.

    Args:
        proposals: of a detector that needs them; None: from where the run had its own.

    Raises:
        RunError: as `load_run`.  DataError: the data set cannot be used or has other classes.
    """
    loaded = load_run(run)
    dataset = _open_data(loaded, data, split, images, allow_unlabelled=allow_unlabelled, proposals=proposals)
    accelerator = start_accelerator()
    predictions = _predict(loaded, dataset, accelerator)
    metrics = evaluate_predictions(dataset.coco_ground_truth(), predictions)
    if data is None and accelerator.is_main_process:
        try:
            write_json(RunFolder(Path(run)).predictions(dataset.split), written_results(dataset, predictions))
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
    own, and in which what was stopped goes on.

    Args:
        proposals: of a detector that needs them; None: from where the run had its own.

    Raises:
        RunError: as `load_run`, or `out` exists.  DataError: the data set cannot be used or has other classes.
    """
    out = Path(out)
    in_one_piece = out.suffix == ".json"
    if in_one_piece and is_taken(out):
        raise RunError(f"{out} exists already; choose another file")
    loaded = load_run(run)
    dataset = _open_data(loaded, data, split, images, allow_unlabelled=True, proposals=proposals)
    accelerator = start_accelerator()
    if in_one_piece:
        results = _predict(loaded, dataset, accelerator)
        if accelerator.is_main_process:
            write_new(out, as_json(written_results(dataset, results)))
    else:
        loaded.detector.to(accelerator.device)
        size, options = loaded.config.images_per_step, _what_decides(loaded.config, proposals)
        predict_shards(loaded.detector, dataset, accelerator, out, batch_size=size, options=options)
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


def _what_decides(config: TrainingConfig, proposals: str | None) -> str:
    """What of a configuration, beside the weights, decides what is found."""
    on_backbone = f", {config.backbone}" if config.is_torchvisions else ""
    source = proposals or config.proposals
    among = f", among proposals of {source}" if source else ""
    return f"{config.detector}{on_backbone}, image size {config.side}{among}"


def _open_data(
    loaded: LoadedRun,
    data: str | Path | None,
    split: str | None,
    images: Path | None,
    *,
    allow_unlabelled: bool = False,
    proposals: str | None = None,
) -> DetectionDataset:
    config = replace(loaded.config, allow_unlabelled=allow_unlabelled or loaded.config.allow_unlabelled)
    config = config if proposals is None else replace(config, proposals=proposals)
    config = config if images is None else replace(config, images=str(images))
    if data is not None:
        classes = loaded.classes_by_id
        dataset = open_dataset(data, split, classes=classes, images=images, allow_unlabelled=allow_unlabelled)
        return with_proposals(dataset, config.proposals)
    if split in (None, config.measured_split):
        return open_training_data(config)[1]
    return open_split(config, split, loaded.classes)


def _predict(loaded: LoadedRun, dataset: DetectionDataset, accelerator: Accelerator) -> list[dict[str, Any]]:
    loaded.detector.to(accelerator.device)
    return predict(loaded.detector, dataset, accelerator, batch_size=loaded.config.images_per_step)
