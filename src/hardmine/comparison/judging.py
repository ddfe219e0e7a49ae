"""From predictions to measures: what every recipe finds on the same images, and how far apart that is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hardmine.comparison.table import Measured
from hardmine.errors import DataError
from hardmine.evaluation import LOWER_IS_BETTER, Difference, differences, resamples
from hardmine.training.tasks import DETECTION, Task
from hardmine.training.tasks.task import Data

__all__ = ["judge_all", "values_on_draws"]


def judge_all(
    dataset: Data,
    predictions: Mapping[str, Sequence[Any]],
    groups: np.ndarray | None = None,
    margin: float | None = None,
    task: Task = DETECTION,
) -> dict[str, dict[str, Measured]]:
    """Name -> measure -> what it is, from the predictions of each recipe's runs, one a seed, as the task reads them.

    All get the same draws of the images. margin: of the main measure alone, AP or mIoU; see `differences`.
    """
    num_units = len(dataset) if groups is None else len(np.unique(groups))
    values = values_on_draws(dataset, predictions, groups, task=task)
    by_measure = {
        measure: _measured(measure, of, num_units, margin, is_main=measure == task.main)
        for measure, of in values.items()
    }
    return {name: {measure: of[name] for measure, of in by_measure.items()} for name in predictions}


def values_on_draws(
    dataset: Data,
    predictions: Mapping[str, Sequence[Any]],
    groups: np.ndarray | None = None,
    measures: Sequence[str] | None = None,
    task: Task = DETECTION,
) -> dict[str, dict[str, np.ndarray]]:
    """Measure -> name -> (1 + R, S), on the images as they are and on draws of them, as `differences` takes it."""
    counts = resamples(len(dataset), groups=groups)
    found = {
        name: [task.judge(dataset, of_run).measures(counts, measures) for of_run in of]
        for name, of in predictions.items()
    }
    first, *_ = next(iter(found.values()))
    return {
        measure: {name: np.stack([of_run[measure] for of_run in of], axis=1) for name, of in found.items()}
        for measure in first
    }


def _measured(
    measure: str, values: Mapping[str, np.ndarray], num_units: int, margin: float | None, *, is_main: bool
) -> dict[str, Measured]:
    """From values (1 + R, S) of each recipe, the first row of all images as they are."""
    found = _differences(values, num_units, margin, is_main=is_main)
    return {
        name: Measured(
            mean=_defined(of[0].mean()),
            by_seed=tuple(map(_defined, of[0])),
            difference=found.get(name),
            lower_is_better=measure in LOWER_IS_BETTER,
        )
        for name, of in values.items()
    }


def _differences(
    values: Mapping[str, np.ndarray], num_units: int, margin: float | None, *, is_main: bool
) -> dict[str, Difference]:
    """None of a measure that these images, or nearly all draws of them, do not define; an error of the main one."""
    try:
        return differences(values, num_units, margin=margin if is_main else None)
    except DataError:
        if is_main:
            raise
        return {}


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
