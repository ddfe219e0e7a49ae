"""From predictions to measures: what every recipe finds on the same images, and how far apart that is."""

from collections.abc import Mapping, Sequence

import numpy as np

from hardmine.comparison.table import Measured
from hardmine.data import DetectionDataset
from hardmine.errors import DataError
from hardmine.evaluation import LOWER_IS_BETTER, Difference, differences, judge, resamples

__all__ = ["AP", "judge_all", "values_on_draws"]

Predictions = Sequence[dict]
AP = "ap"


def judge_all(
    dataset: DetectionDataset,
    predictions: Mapping[str, Sequence[Predictions]],
    groups: np.ndarray | None = None,
    margin: float | None = None,
) -> dict[str, dict[str, Measured]]:
    """Name -> measure -> what it is, from the predictions of each recipe's runs, a list of COCO results a seed.

    All get the same draws of the images. margin: of AP alone; see `differences`.
    """
    num_units = len(dataset) if groups is None else len(np.unique(groups))
    values = values_on_draws(dataset, predictions, groups)
    by_measure = {measure: _measured(measure, of, num_units, margin) for measure, of in values.items()}
    return {name: {measure: of[name] for measure, of in by_measure.items()} for name in predictions}


def values_on_draws(
    dataset: DetectionDataset,
    predictions: Mapping[str, Sequence[Predictions]],
    groups: np.ndarray | None = None,
    measures: Sequence[str] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Measure -> name -> (1 + R, S), on the images as they are and on draws of them, as `differences` takes it."""
    ground_truth = dataset.coco_ground_truth()
    counts = resamples(len(dataset), groups=groups)
    found = {
        name: [judge(ground_truth, of_run).measures(counts, measures) for of_run in of]
        for name, of in predictions.items()
    }
    first, *_ = next(iter(found.values()))
    return {
        measure: {name: np.stack([of_run[measure] for of_run in of], axis=1) for name, of in found.items()}
        for measure in first
    }


def _measured(
    measure: str, values: Mapping[str, np.ndarray], num_units: int, margin: float | None
) -> dict[str, Measured]:
    """From values (1 + R, S) of each recipe, the first row of all images as they are."""
    found = _differences(measure, values, num_units, margin)
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
    measure: str, values: Mapping[str, np.ndarray], num_units: int, margin: float | None
) -> dict[str, Difference]:
    """None of a measure that these images, or nearly all draws of them, do not define; of AP that is an error."""
    try:
        return differences(values, num_units, margin=margin if measure == AP else None)
    except DataError:
        if measure == AP:
            raise
        return {}


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
