"""What a recipe is tried with: its learning rate, the weight of its classification loss, and its own options.

The first trial is always the defaults. The others are points of a Halton sequence (Halton, On the Efficiency of
Certain Quasi-Random Sequences of Points, Numerische Mathematik 1960), which spread evenly however few they are: trial
k of every recipe has the same learning rate and the same weight, and only options of its own differ.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import qmc

from hardmine.comparison.contenders import RecipeChoice
from hardmine.errors import ConfigError
from hardmine.training import TrainingConfig
from hardmine.training.recipe_names import make_recipe

__all__ = ["LARGEST_FACTOR", "Trial", "trials"]

LARGEST_FACTOR = 4.0
"""The learning rate and the weight are tried from a quarter of the default to four times it."""
SHARED = 2
"""Dimensions that every recipe has: learning rate and weight."""
DIMENSIONS = 8
"""Of the sequence: a recipe takes the first ones, so that those it shares with others are the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of a recipe. lr: the peak.  options: of the recipe, those that were searched."""

    number: int
    lr: float
    classification_weight: float
    options: Mapping[str, Any] = field(default_factory=dict)

    def of(self, config: TrainingConfig) -> TrainingConfig:
        """The configuration with this setting."""
        options = {**config.recipe_options, **self.options}
        weight = self.classification_weight
        return replace(config, lr=self.lr, classification_weight=weight, recipe_options=options)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)


def trials(recipe: RecipeChoice, config: TrainingConfig, number: int) -> list[Trial]:
    """So many settings of a recipe, the first of them the configuration's own.

    Options of the recipe that were given stay as they are given.

    Raises: ConfigError: fewer than 2, with which nothing can be chosen.
    """
    if number < 2:
        raise ConfigError(f"tuning needs at least 2 trials a recipe, of which the first has its defaults; got {number}")
    made = make_recipe(recipe.name, recipe.options)
    searched = {name: values for name, values in made.tuned.items() if name not in recipe.options}
    points = qmc.Halton(DIMENSIONS, scramble=False).random(number)[1:]  # the first of them is a corner
    first = Trial(1, config.peak_lr, config.classification_weight, {name: made.parameters[name] for name in searched})
    return [first, *(_trial(place, point, first, searched) for place, point in enumerate(points, start=2))]


def _trial(number: int, point: np.ndarray, first: Trial, searched: Mapping[str, tuple[Any, ...]]) -> Trial:
    lr, weight = (float(f"{LARGEST_FACTOR ** (2 * at - 1):.3g}") for at in point[:SHARED])
    options = {
        name: values[int(at * len(values))]
        for (name, values), at in zip(searched.items(), point[SHARED:], strict=False)
    }
    return Trial(number, first.lr * lr, first.classification_weight * weight, options)
