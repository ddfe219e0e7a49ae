"""Is a recipe better on more than one data set? The same comparison on each, and one answer over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from accelerate import PartialState

from hardmine.comparison.compare import check_comparison, compare, refuse_taken
from hardmine.comparison.contenders import RecipeChoice
from hardmine.comparison.judging import values_on_draws
from hardmine.comparison.table import Comparison, Protocol
from hardmine.data.scenes import SCENES
from hardmine.errors import ConfigError
from hardmine.evaluation import AcrossDataSets, across_data_sets
from hardmine.files.writing import write_json
from hardmine.training import RunFolder, TrainingConfig
from hardmine.training.tasks import task_of

__all__ = ["SeveralComparisons", "compare_on_several"]


@dataclass(frozen=True, slots=True)
class SeveralComparisons:
    """The comparison on each data set, by a short name of it; of each recipe but the first, the answer over all."""

    on: Mapping[str, Comparison]
    across: Mapping[str, AcrossDataSets]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        across = {recipe: asdict(of) for recipe, of in self.across.items()}
        return {"across": across, "on": {name: comparison.to_dict() for name, comparison in self.on.items()}}


def compare_on_several(
    configs: Sequence[TrainingConfig],
    recipes: Sequence[RecipeChoice],
    seeds: Sequence[int],
    out: Path | str,
    *,
    protocol: Protocol | None = None,
    resume: bool = False,
    progress: bool = True,
    jobs: int = 1,
) -> SeveralComparisons:
    """Compares the recipes on the data of each configuration, in a folder of its own in `out`; see `compare`.

    Leaves `compare.json` in `out`, with all of it.

    Raises: as `compare`.  ConfigError: the same data twice, or one recipe only.
    """
    places = [_place(config.data) for config in configs]
    if len(set(places)) < len(places) or len(recipes) < 2:
        raise ConfigError("a comparison over data sets needs data sets that differ, and at least two recipes")
    out, compared = Path(out), {}
    for config in configs:
        check_comparison(config, recipes, seeds, protocol or Protocol())
    refuse_taken(out, resume=resume)
    how: dict[str, Any] = {"protocol": protocol, "resume": resume, "progress": progress, "jobs": jobs}
    named = dict(zip(_names(places), configs, strict=True))
    for name, config in named.items():
        compared[name] = compare(config, recipes, seeds, out / name, **how)
    values = {name: _main_measure(config, compared[name], out / name) for name, config in named.items()}
    num_units = {name: of.num_units or of.num_images for name, of in compared.items()}
    found = SeveralComparisons(compared, across_data_sets(values, num_units))
    if PartialState().is_main_process:
        write_json(out / "compare.json", found.to_dict())
    return found


def _place(data: str) -> str:
    """The same for the same data, however its path is written."""
    return data if data == SCENES else str(Path(data).resolve())


def _names(places: Sequence[str]) -> list[str]:
    """The last part of each path, with its number where two are called alike."""
    short = [PurePath(path).stem or "data" for path in places]
    numbered = [f"{name}-{number}" for number, name in enumerate(short, start=1)]
    of_alike = [name if short.count(name) == 1 else new for name, new in zip(short, numbered, strict=True)]
    return of_alike if len(set(of_alike)) == len(of_alike) else numbered


def _main_measure(config: TrainingConfig, comparison: Comparison, out: Path) -> dict[str, np.ndarray]:
    """Recipe -> (1 + R, S), AP or mIoU, from what the runs found."""
    task = task_of(config)
    dataset = task.open_measured_data(config)
    found = {
        row.recipe: [task.read(RunFolder(out / row.recipe / f"seed{seed}"), dataset) for seed in row.seeds]
        for row in comparison.rows
    }
    groups = None if config.group_by is None else task.groups(dataset, config.group_by)
    return values_on_draws(dataset, found, groups, [task.main], task)[task.main]
