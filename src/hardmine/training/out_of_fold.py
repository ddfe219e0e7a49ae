"""What models say of images that they have not learnt from, so that labels are judged by a model that never saw them.

The train split is dealt into folds; for each, a model is trained on all others as the run was trained, and predicts the
fold. These are ordinary runs, in `RUN/folds`: what is finished stays, what was stopped goes on.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hardmine.data import DetectionDataset, Fold, SegmentationDataset, hold_out_masks
from hardmine.data.groups import groups_of_masks
from hardmine.errors import ConfigError
from hardmine.evaluation import read_predictions
from hardmine.training.config import TrainingConfig
from hardmine.training.data import open_split, with_planted_errors
from hardmine.training.folder import RunFolder
from hardmine.training.loop import RunResult, train
from hardmine.training.mask_data import open_mask_split, with_planted_mask_errors
from hardmine.training.processes import start_accelerator
from hardmine.training.progress import watch_work
from hardmine.training.run import load_run, predict_dataset
from hardmine.training.segment import predict_probabilities

__all__ = ["predict_for_mining", "predict_masks_for_mining"]

logger = logging.getLogger("hardmine")


def predict_for_mining(
    run: Path | str, folds: int | None = None, *, progress: bool = True, **changed: str | None
) -> tuple[DetectionDataset, list[dict[str, Any]]]:
    """The train split of a run, and what is found in it, as COCO results of all its images.

    Label errors that were planted for the run are in it; not in other data than the run's own.

    Args: folds: how many models to train, each without one part, which it then predicts; None: the run's own model
        predicts everything, although it has learnt these images.
        changed: data, train_split or images, where they are not those that the run was trained on; None: they are.
    Raises: ConfigError: fewer than two folds, or a run that itself holds a fold out.
        RunError, DataError: the run or its data cannot be used.
    """
    config = _config_of(run, changed)
    dataset = with_planted_errors(config, open_split(config, config.train_split))
    if folds is None:
        return dataset, predict_dataset(run, dataset)
    results = []
    for held_out in _train_without(config, run, folds, progress):
        results += read_predictions(held_out.predictions)
    return dataset, results


def predict_masks_for_mining(
    run: Path | str, folds: int | None = None, *, progress: bool = True, **changed: str | None
) -> tuple[SegmentationDataset, Iterator[tuple[int, np.ndarray]]]:
    """The same of a run of segmentation: the data set, and of each image its place and probabilities (C, H, W).

    The models of the folds are trained at once, in all processes; images are predicted as they are asked for.

    Args and errors as `predict_for_mining`.
    """
    config = _config_of(run, changed)
    images = open_mask_split(config, config.train_split)
    parts: list[tuple[Path, Sequence[int]]] = [(Path(run), range(len(images)))]
    if folds is not None:
        _check_folds(config, run, folds)
        groups = None if config.group_by is None else groups_of_masks(images, config.group_by)
        held = [hold_out_masks(images, Fold(number, folds), groups)[1].places for number in range(1, folds + 1)]
        runs = _train_without(config, run, folds, progress)
        parts = [(result.folder.path, places) for result, places in zip(runs, held, strict=True)]
    return with_planted_mask_errors(config, images), _probabilities(parts, images, progress)


def _probabilities(
    parts: Sequence[tuple[Path, Sequence[int]]], images: SegmentationDataset, progress: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Of each part by its own run. Raises: RunError, DataError: a run, or an image, cannot be used."""
    found = (
        (place, of_image.cpu().numpy())
        for run, places in parts
        for place, of_image in zip(
            places,
            predict_probabilities(load_run(run).segmenter, images, start_accelerator(), places=places),
            strict=True,
        )
    )
    return watch_work(found, len(images), "predicting") if progress else found


def _config_of(run: Path | str, changed: dict[str, str | None]) -> TrainingConfig:
    """Its configuration with other data, of which the errors that were planted for the run are not."""
    trained = RunFolder(Path(run)).read_config()
    config = replace(trained, **{name: value for name, value in changed.items() if value is not None})
    if (config.data, config.train_split) != (trained.data, trained.train_split):
        config = replace(config, label_errors=None)
    return config


def _train_without(config: TrainingConfig, run: Path | str, folds: int, progress: bool) -> list[RunResult]:
    """Trains as the run was trained, once without each fold."""
    _check_folds(config, run, folds)
    runs = []
    for number in range(1, folds + 1):
        logger.info("fold %d of %d", number, folds)
        fold = replace(config, fold=f"{number}/{folds}")
        runs.append(train(fold, Path(run) / "folds" / f"{number}_of_{folds}", resume=True, progress=progress))
    return runs


def _check_folds(config: TrainingConfig, run: Path | str, folds: int) -> None:
    """Raises: ConfigError: they are no folds, or the run has one."""
    if folds < 2 or config.fold is not None:
        raise ConfigError(
            f"{run}: got {folds} folds of a run with fold {config.fold}; expected at least 2, of one without"
        )
