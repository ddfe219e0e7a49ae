"""What is compared: recipes, each with a name, a configuration and the seeds it is trained on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hardmine.errors import ConfigError
from hardmine.training import TrainingConfig

__all__ = ["Contender", "RecipeChoice", "contenders", "folder_of", "with_recipe"]


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """A recipe with the options that differ from its defaults."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The recipe as a table shows it: `ohem`, `ohem-budget=64`."""
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])


@dataclass(frozen=True, slots=True)
class Contender:
    """A recipe under a configuration, trained once per seed.  folder: of its runs, in that of the comparison."""

    label: str
    config: TrainingConfig
    seeds: tuple[int, ...]
    folder: Path


def contenders(recipes: Sequence[tuple[RecipeChoice, TrainingConfig]], seeds: Sequence[int]) -> tuple[Contender, ...]:
    """One of each recipe under its configuration, in which that recipe is.

    A recipe that comes again is trained on seeds of its own: the difference to itself is what noise alone makes.

    Raises: ConfigError: no recipe, no seed, or a seed twice.
    """
    if not recipes:
        raise ConfigError("a comparison needs recipes, got none")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"a comparison needs seeds that differ, got {list(seeds)}")
    met: Counter[str] = Counter()
    found = []
    for recipe, config in recipes:
        times = met[recipe.label]
        met[recipe.label] += 1
        own_seeds = tuple(seed + times * (max(seeds) + 1) for seed in seeds)
        label = f"{recipe.label}{' again' * bool(times)}{f' {times + 1}' * (times > 1)}"
        found.append(Contender(label, config, own_seeds, folder_of(label)))
    return tuple(found)


def folder_of(label: str) -> Path:
    """Of what is trained under this label; `package:recipe` is no name of a folder on every system."""
    return Path(label.replace(":", "."))


def with_recipe(config: TrainingConfig, recipe: RecipeChoice) -> TrainingConfig:
    """The configuration under this recipe."""
    return replace(config, recipe=recipe.name, recipe_options=recipe.options)
