"""What models say of images that they have not learnt from, so that labels are judged by a model that never saw them.

The train split is dealt into folds; for each, a model is trained on all others as the run was trained, and predicts the
fold. These are ordinary runs, in `RUN/folds`: what is finished stays, what was stopped goes on.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from hardmine.data import DetectionDataset
from hardmine.errors import ConfigError
from hardmine.evaluation import read_predictions
from hardmine.training.config import TrainingConfig
from hardmine.training.data import open_split, with_planted_errors
from hardmine.training.folder import RunFolder
from hardmine.training.loop import train
from hardmine.training.run import predict_dataset
from hardmine.training.tasks import DETECTION, task_of

__all__ = ["predict_for_mining"]

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
    trained = RunFolder(Path(run)).read_config()
    if task_of(trained) is not DETECTION:
        raise ConfigError(f"{run} is a run of {trained.task}; boxes are mined with a run of detection")
    config = replace(trained, **{name: value for name, value in changed.items() if value is not None})
    if (config.data, config.train_split) != (trained.data, trained.train_split):
        config = replace(config, label_errors=None)
    dataset = with_planted_errors(config, open_split(config, config.train_split))
    if folds is None:
        return dataset, predict_dataset(run, dataset)
    if folds < 2 or config.fold is not None:
        raise ConfigError(
            f"{run}: got {folds} folds of a run with fold {config.fold}; expected at least 2, of one without"
        )
    return dataset, _out_of_fold(config, Path(run) / "folds", folds, progress)


def _out_of_fold(config: TrainingConfig, folder: Path, folds: int, progress: bool) -> list[dict[str, Any]]:
    results = []
    for number in range(1, folds + 1):
        logger.info("fold %d of %d", number, folds)
        fold = replace(config, fold=f"{number}/{folds}")
        held_out = train(fold, folder / f"{number}_of_{folds}", resume=True, progress=progress)
        results += read_predictions(held_out.predictions)
    return results
