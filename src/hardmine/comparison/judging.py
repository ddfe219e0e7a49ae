"""From predictions to measures: what every recipe finds on the same images, and how far apart that is."""

from collections.abc import Mapping, Sequence

import numpy as np

from hardmine.comparison.table import Measured
from hardmine.data import DetectionDataset
from hardmine.evaluation import differences, judge, resamples

__all__ = ["judge_all"]

Predictions = Sequence[dict]


def judge_all(
    dataset: DetectionDataset,
    predictions: Mapping[str, Sequence[Predictions]],
    groups: np.ndarray | None = None,
    margin: float | None = None,
) -> dict[str, dict[str, Measured]]:
    """Name -> measure -> what it is, from the predictions of each recipe's runs, a list of COCO results a seed.

    All get the same draws of the images. margin: of AP alone; see `differences`.
    """
    ground_truth = dataset.coco_ground_truth()
    counts = resamples(len(dataset), groups=groups)
    by_recipe = {
        name: [judge(ground_truth, of_run).measures(counts) for of_run in of] for name, of in predictions.items()
    }
    first = next(iter(by_recipe.values()))[0]
    num_units = len(dataset) if groups is None else len(np.unique(groups))
    by_measure = {
        measure: _measured(
            {name: np.stack([of_run[measure] for of_run in of], axis=1) for name, of in by_recipe.items()},
            num_units,
            margin if measure == "ap" else None,
        )
        for measure in first
    }
    return {name: {measure: of[name] for measure, of in by_measure.items()} for name in predictions}


def _measured(values: Mapping[str, np.ndarray], num_units: int, margin: float | None) -> dict[str, Measured]:
    """From values (1 + R, S) of each recipe, the first row of all images as they are."""
    observed = {name: of[0] for name, of in values.items()}
    is_defined = not any(np.isnan(of).any() for of in observed.values())
    found = differences(values, num_units, margin=margin) if is_defined and len(values) > 1 else {}
    return {
        name: Measured(_defined(float(of.mean())), tuple(_defined(float(value)) for value in of), found.get(name))
        for name, of in observed.items()
    }


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
