"""Which recipe is better, and how sure is that? The same detector, data and seeds under each of them.

Everything but the recipe is held equal: run (recipe, seed k) starts from the same weights, sees the same images in
the same order and is measured on the same images as (first recipe, seed k). So the runs are pairs, and what is
compared is the difference within a pair.

The seeds are the outer loop: all recipes are trained on seed 0, then all on seed 1. A comparison that is stopped is
still paired, and `resume` goes on from there; runs that are finished are not trained again. Several runs can be trained
at a time (`together.py`).
"""

import csv
import io
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from hardmine.comparison.together import Job, train_together
from hardmine.data import DetectionDataset
from hardmine.data.scenes import Scenes
from hardmine.errors import ConfigError, EvidenceError, RunError
from hardmine.evaluation import (
    Difference,
    LookAlikeErrors,
    Matches,
    look_alike_errors,
    match_predictions,
    mean_look_alike_errors,
    paired_differences,
)
from hardmine.evaluation.look_alikes import MATCHED_RECALL
from hardmine.files.writing import is_taken, write_atomically, write_json
from hardmine.predictions import read_results
from hardmine.recipes import RECIPES
from hardmine.training.config import TrainingConfig
from hardmine.training.data import open_measured_data
from hardmine.training.loop import RunResult, train
from hardmine.training.run import make_detector

__all__ = ["NO_VERDICT", "Comparison", "ComparisonRow", "RecipeChoice", "compare", "every_recipe"]

logger = logging.getLogger("hardmine")

FEWEST_SURE_SEEDS = 5
NO_VERDICT = "one seed: no verdict"


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """A recipe with the options that differ from its defaults."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The recipe as a table and a folder show it: `ohem`, `ohem-budget=64`."""
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One recipe's outcome. AP, memory and look-alike errors are means over the seeds.

    `step_time_ratio` is to the first recipe, paired by seed (median): times are only comparable within one comparison.
    `difference` is None for the first recipe, `look_alikes` where the data have none planted.
    """

    recipe: str
    ap: float
    ap50: float
    ap75: float
    ap_by_seed: tuple[float, ...]
    difference: Difference | None
    step_time_ratio: float
    peak_memory_mb: float
    look_alikes: LookAlikeErrors | None

    @property
    def verdict(self) -> str:
        """What the interval of the difference says, in words; empty for the recipe that the others are compared to.

        One seed gives no verdict: another differs by as much as recipes do, and the interval knows nothing of that.
        """
        if self.difference is None:
            return ""
        return self.difference.verdict if len(self.ap_by_seed) > 1 else NO_VERDICT

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self) | {"verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table, what it was made from, and what must be said with it (`notes`)."""

    rows: tuple[ComparisonRow, ...]
    seeds: tuple[int, ...]
    num_images: int
    peak_memory_of: str
    config: TrainingConfig

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to read the table right."""
        notes = [self._about_intervals(), f"Step time: ratio to {self.rows[0].recipe}. Memory: {self.peak_memory_of}."]
        if any(row.look_alikes for row in self.rows):
            notes.append(
                f"Look-alikes hit: share of planted look-alikes with a prediction on them, at the score where "
                f"{MATCHED_RECALL:.0%} of the objects are found; AUC: chance that an object outscores a look-alike."
            )
        return tuple(notes)

    def _about_intervals(self) -> str:
        baseline, num_seeds = self.rows[0].recipe, len(self.seeds)
        covered = f"95 % intervals of the difference in AP to {baseline}: bootstrap over {self.num_images} images"
        if num_seeds == 1:
            return f"{covered} only: there is one seed, and another one may give another result."
        few = " They are few, so an interval may be too narrow." if num_seeds < FEWEST_SURE_SEEDS else ""
        return f"{covered} and {num_seeds} seeds.{few}"

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return {
            "config": asdict(self.config),
            "seeds": list(self.seeds),
            "num_images": self.num_images,
            "peak_memory_of": self.peak_memory_of,
            "notes": list(self.notes),
            "recipes": [row.to_dict() for row in self.rows],
        }

    def to_csv(self) -> str:
        """One line per recipe, one column per number."""
        lines = [_flat(row.to_dict()) for row in self.rows]
        names = list(dict.fromkeys(name for line in lines for name in line))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return text.getvalue()


def compare(
    config: TrainingConfig,
    recipes: Sequence[RecipeChoice],
    seeds: Sequence[int],
    out: Path | str,
    *,
    resume: bool = False,
    progress: bool = True,
    jobs: int = 1,
) -> Comparison:
    """Trains every recipe on every seed as ordinary runs in `out/<recipe>/seed<k>`, and compares them to the first.

    Leaves `compare.json` and `compare.csv` in `out`. The recipe and the seed of `config` are not used.

    Args:
        resume: keep what is finished in `out` and continue what is not.
        progress: show bars, if on a terminal and one job at a time.
        jobs: runs to train at a time, in processes that share the threads of the CPU; a script that asks for several
            needs `if __name__ == "__main__":`. Results change by rounding only, as with the number of threads.

    Raises:
        ConfigError, DataError: nothing to compare, or a recipe or data set that cannot be used; nothing was trained.
        RunError: `out` exists and `resume` is not given, or a run failed.
    """
    out = Path(out)
    val_data = open_measured_data(config)
    _check_recipes(config, recipes, seeds, len(val_data.classes))
    if not resume and is_taken(out):
        raise RunError(f"{out} exists already; choose another folder with --out, or continue with --resume")
    runs = _by_recipe(recipes, _train_all(_jobs(config, recipes, seeds, out), jobs, resume, progress))
    memory_of = next(iter(runs.values()))[0].rows[0]["peak_memory_of"]
    comparison = Comparison(_rows(runs, val_data), tuple(seeds), len(val_data), memory_of, config)
    if PartialState().is_main_process:
        write_json(out / "compare.json", comparison.to_dict())
        write_atomically(out / "compare.csv", comparison.to_csv().encode())
    return comparison


def every_recipe(config: TrainingConfig) -> list[RecipeChoice]:
    """All recipes that the configuration's detector takes, with their defaults; logs why it does not the others."""
    taken = []
    for name in RECIPES:
        choice = RecipeChoice(name)
        try:
            make_detector(_config_of(config, choice, config.seed), num_classes=1, load=False)
        except EvidenceError as error:
            logger.info("left out: %s", error)
        else:
            taken.append(choice)
    return taken


def _check_recipes(
    config: TrainingConfig, recipes: Sequence[RecipeChoice], seeds: Sequence[int], num_classes: int
) -> None:
    """Finds out before the first training whether the last one can start."""
    labels = [recipe.label for recipe in recipes]
    if not recipes or len(set(labels)) < len(labels):
        raise ConfigError(f"a comparison needs recipes that differ, got {', '.join(labels) or 'none'}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"a comparison needs seeds that differ, got {list(seeds)}")
    for recipe in recipes:
        make_detector(_config_of(config, recipe, seeds[0]), num_classes)


def _config_of(config: TrainingConfig, recipe: RecipeChoice, seed: int) -> TrainingConfig:
    return replace(config, recipe=recipe.name, recipe_options=recipe.options, seed=seed)


def _jobs(config: TrainingConfig, recipes: Sequence[RecipeChoice], seeds: Sequence[int], out: Path) -> list[Job]:
    """What to train, in this order: all recipes on the first seed, then all on the second."""
    runs = [(recipe, seed) for seed in seeds for recipe in recipes]
    return [
        Job(
            number=number,
            name=f"{recipe.label}, seed {seed}",
            config=_config_of(config, recipe, seed),
            folder=out / recipe.label / f"seed{seed}",
        )
        for number, (recipe, seed) in enumerate(runs, start=1)
    ]


def _train_all(jobs: Sequence[Job], num_processes: int, resume: bool, progress: bool) -> list[RunResult]:
    if num_processes > 1:
        return train_together(jobs, num_processes, resume=resume)
    results = []
    for job in jobs:
        logger.info("run %d of %d: %s", job.number, len(jobs), job.name)
        results.append(train(job.config, job.folder, resume=resume, progress=progress))
    return results


def _by_recipe(recipes: Sequence[RecipeChoice], results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The results of `_jobs` of each recipe, in the order of the seeds."""
    return {recipe.label: list(results[place :: len(recipes)]) for place, recipe in enumerate(recipes)}


def _rows(runs: Mapping[str, Sequence[RunResult]], val_data: DetectionDataset) -> tuple[ComparisonRow, ...]:
    ground_truth = val_data.coco_ground_truth()
    predictions = {label: [read_results(run.predictions, val_data) for run in of] for label, of in runs.items()}
    matches = {label: [match_predictions(ground_truth, p) for p in of] for label, of in predictions.items()}
    differences = paired_differences(matches)
    look_alikes = {label: _look_alikes(val_data, ground_truth, predictions[label], matches[label]) for label in runs}
    baseline = next(iter(runs.values()))
    return tuple(_row(label, of, baseline, differences.get(label), look_alikes[label]) for label, of in runs.items())


def _row(
    label: str,
    runs: Sequence[RunResult],
    baseline: Sequence[RunResult],
    difference: Difference | None,
    look_alikes: LookAlikeErrors | None,
) -> ComparisonRow:
    by_seed = {name: [getattr(run.metrics, name) for run in runs] for name in ("ap", "ap50", "ap75")}
    ratios = [run.seconds_per_step / first.seconds_per_step for run, first in zip(runs, baseline, strict=True)]
    return ComparisonRow(
        recipe=label,
        ap=statistics.mean(by_seed["ap"]),
        ap50=statistics.mean(by_seed["ap50"]),
        ap75=statistics.mean(by_seed["ap75"]),
        ap_by_seed=tuple(by_seed["ap"]),
        difference=difference,
        step_time_ratio=statistics.median(ratios),
        peak_memory_mb=statistics.mean(run.peak_memory_mb for run in runs),
        look_alikes=look_alikes,
    )


def _look_alikes(
    val_data: DetectionDataset, ground_truth: dict, predictions: Sequence[list[dict]], matches: Sequence[Matches]
) -> LookAlikeErrors | None:
    if not isinstance(val_data, Scenes):
        return None
    boxes = {record.image_id: found for record, found in zip(val_data.records, val_data.look_alikes, strict=True)}
    by_seed = [look_alike_errors(ground_truth, p, m, boxes) for p, m in zip(predictions, matches, strict=True)]
    return mean_look_alike_errors(by_seed)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Nested numbers under joined names; a list (one value per seed) as values apart by spaces."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{inner}": number for inner, number in value.items()}
        else:
            flat[name] = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
    return flat
