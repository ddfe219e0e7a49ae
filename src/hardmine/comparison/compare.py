"""Which recipe is better, and how sure is that? The same detector, data and seeds under each of them.

Everything but the recipe is held equal: run (recipe, seed k) starts from the same weights, sees the same images in
the same order and is measured on the same images as (first recipe, seed k). So the runs are pairs, and what is
compared is the difference within a pair. With tuning, each recipe has the learning rate, the weight of its
classification loss and the options that served it best on a part of the training split.

The seeds are the outer loop: all recipes are trained on seed 0, then all on seed 1. A comparison that is stopped is
still paired, and `resume` goes on from there; runs that are finished are not trained again. Several runs can be trained
at a time (`together.py`).
"""

import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from hardmine.comparison.contenders import Contender, RecipeChoice, contenders, with_recipe
from hardmine.comparison.judging import judge_all
from hardmine.comparison.table import Comparison, ComparisonRow, Protocol
from hardmine.comparison.together import Job, train_all
from hardmine.comparison.tuning import Tuned, held_out_of, tune
from hardmine.data import DetectionDataset
from hardmine.data.scenes import Scenes
from hardmine.errors import ConfigError, DataError, EvidenceError, RunError
from hardmine.evaluation import LookAlikeErrors, look_alike_errors, match_predictions, mean_look_alike_errors
from hardmine.files.reading import parse_json, read_text
from hardmine.files.writing import is_taken, write_atomically, write_json
from hardmine.recipes import RECIPES
from hardmine.training import RunResult, TrainingConfig
from hardmine.training.processes import start_accelerator
from hardmine.training.run import load_run, make_detector
from hardmine.training.tasks import Task, task_of
from hardmine.training.tasks.task import Data

__all__ = ["check_comparison", "compare", "every_recipe", "refuse_taken"]

logger = logging.getLogger("hardmine")

Runs = Mapping[str, Sequence[RunResult]]
EQUAL_TIME = "equal-time"
"""The folder of runs that take as long as the first recipe's, and before its `.json`, the file of their epochs."""


def compare(
    config: TrainingConfig,
    recipes: Sequence[RecipeChoice],
    seeds: Sequence[int],
    out: Path | str,
    *,
    protocol: Protocol | None = None,
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
    out, protocol = Path(out), protocol or Protocol()
    measured, test = _checked(config, recipes, seeds, protocol)
    refuse_taken(out, resume=resume)
    how = _How(out, resume, progress, jobs)
    tuned = tune(config, recipes, protocol.tune, out / "tuning", **how.options) if protocol.tune else {}
    compared = contenders([(recipe, _configured(config, recipe, tuned)) for recipe in recipes], seeds)
    runs = how.train(compared)
    in_time = how.train(_in_time(compared, runs, out / f"{EQUAL_TIME}.json")) if protocol.match_time else {}
    first = runs[compared[0].label][0]
    comparison = Comparison(
        rows=measured.rows(runs),
        num_images=len(measured.dataset),
        num_units=measured.num_groups,
        peak_memory_of=first.rows[0]["peak_memory_of"],
        config=config,
        protocol=protocol,
        at_equal_time=measured.rows(in_time),
        on_test=test.rows(runs) if test else (),
        tuned=tuned,
        environment=json.loads(read_text(first.folder.env)),
    )
    if PartialState().is_main_process:
        write_json(out / "compare.json", comparison.to_dict())
        write_atomically(out / "compare.csv", comparison.to_csv().encode())
    return comparison


def check_comparison(
    config: TrainingConfig, recipes: Sequence[RecipeChoice], seeds: Sequence[int], protocol: Protocol
) -> None:
    """Finds out before the first training whether the last one can start, and whether all can then be compared.

    Raises: ConfigError, DataError, EvidenceError: as `compare`.
    """
    _checked(config, recipes, seeds, protocol)


def refuse_taken(out: Path, *, resume: bool) -> None:
    """Raises RunError: something lies in the folder of a comparison that is to begin."""
    if not resume and is_taken(out):
        raise RunError(f"{out} exists already; choose another folder with --out, or continue with --resume")


def every_recipe(config: TrainingConfig) -> list[RecipeChoice]:
    """All recipes that the configuration's detector takes, with their defaults; logs why it does not the others."""
    taken = []
    for name in RECIPES:
        choice = RecipeChoice(name)
        try:
            make_detector(with_recipe(config, choice), num_classes=2, load=False)
        except EvidenceError as error:
            logger.info("left out: %s", error)
        else:
            taken.append(choice)
    return taken


def _checked(
    config: TrainingConfig, recipes: Sequence[RecipeChoice], seeds: Sequence[int], protocol: Protocol
) -> tuple["_Measured", "_Measured | None"]:
    """What is measured on, and the test split where one is asked for, if all can be trained and compared."""
    measured = _Measured.of(config, None, protocol)
    test = None if protocol.test_split is None else _Measured.of(config, protocol.test_split, protocol)
    if test and test.dataset.split in (config.train_split, config.measured_split):
        raise ConfigError(
            f"split {test.dataset.split!r} is learnt from or measured on already, so it tests nothing; "
            "choose another test split"
        )
    for contender in contenders([(recipe, with_recipe(config, recipe)) for recipe in recipes], seeds):
        make_detector(contender.config, len(measured.dataset.classes))
    if protocol.tune:
        held_out_of(config)
    return measured, test


def _configured(config: TrainingConfig, recipe: RecipeChoice, tuned: Mapping[str, Tuned]) -> TrainingConfig:
    """The configuration under this recipe, as it was chosen where it was tuned."""
    config = with_recipe(config, recipe)
    return tuned[recipe.label].chosen.trial.of(config) if tuned else config


@dataclass(frozen=True, slots=True)
class _How:
    """Where and how runs are trained."""

    out: Path
    resume: bool
    progress: bool
    jobs: int

    @property
    def options(self) -> dict[str, Any]:
        return {"resume": self.resume, "progress": self.progress, "jobs": self.jobs}

    def train(self, compared: Sequence[Contender]) -> Runs:
        """Label -> its runs, in the order of the seeds; all are trained on their first seed, then on their second."""
        pairs = [(c, c.seeds[place]) for place in range(len(compared[0].seeds)) for c in compared]
        jobs = [
            Job(
                number=number,
                name=f"{contender.label}, seed {seed}",
                config=replace(contender.config, seed=seed),
                folder=self.out / contender.folder / f"seed{seed}",
            )
            for number, (contender, seed) in enumerate(pairs, start=1)
        ]
        trained = train_all(jobs, self.jobs, resume=self.resume, progress=self.progress)
        results = [result for result in trained if result is not None]  # all of them: none may diverge
        return {c.label: results[place :: len(compared)] for place, c in enumerate(compared)}


def _in_time(compared: Sequence[Contender], runs: Runs, file: Path) -> list[Contender]:
    """The same for as many epochs as take the time of the first; what was once decided stays, as times vary."""
    if PartialState().is_main_process:
        decided, first = _decided(file) if file.exists() else {}, runs[compared[0].label]
        new = {label: of for label, of in runs.items() if label not in decided}
        epochs = {label: max(1, round(len(of[0].rows) / _time_ratio(of, first))) for label, of in new.items()}
        write_json(file, decided | epochs)
    PartialState().wait_for_everyone()
    epochs = _decided(file)
    return [
        replace(c, config=replace(c.config, epochs=epochs[c.label]), folder=EQUAL_TIME / c.folder) for c in compared
    ]


def _decided(file: Path) -> dict[str, int]:
    """Label -> epochs, as the file has them."""
    try:
        epochs = parse_json(read_text(file))
    except (DataError, ValueError, RecursionError) as error:
        raise RunError(_damaged(file, error)) from error
    if not isinstance(epochs, dict) or not all(type(of) is int and of > 0 for of in epochs.values()):
        raise RunError(_damaged(file, "expected a number of epochs for each recipe"))
    return epochs


def _damaged(file: Path, why: object) -> str:
    return f"{file} is damaged ({why}); delete it and the folder {file.with_suffix('')}, whose runs are trained again"


@dataclass(frozen=True, slots=True)
class _Measured:
    """What is measured on: a data set, and which of its images belong together."""

    task: Task
    dataset: Data
    groups: np.ndarray | None
    margin: float | None

    @classmethod
    def of(cls, config: TrainingConfig, split: str | None, protocol: Protocol) -> "_Measured":
        task = task_of(config)
        dataset = task.open_measured_data(config, split)
        groups = None if config.group_by is None else task.groups(dataset, config.group_by)
        measured = cls(task, dataset, groups, protocol.margin)
        if (measured.num_groups or len(dataset)) < 2:
            raise DataError(
                f"{config.data}, split {dataset.split}: one image, or one group of images, says nothing of others; "
                "compare on at least 2"
            )
        return measured

    @property
    def num_groups(self) -> int | None:
        return None if self.groups is None else len(np.unique(self.groups))

    def rows(self, runs: Runs) -> tuple[ComparisonRow, ...]:
        if not runs:
            return ()
        found = {label: [self._found(run) for run in of] for label, of in runs.items()}
        measures = judge_all(self.dataset, found, self.groups, self.margin, self.task)
        first = next(iter(runs.values()))
        return tuple(
            ComparisonRow(
                recipe=label,
                measures=measures[label],
                seeds=tuple(run.config.seed for run in of),
                epochs=len(of[0].rows),
                step_time_ratio=_time_ratio(of, first),
                peak_memory_mb=statistics.mean(run.peak_memory_mb for run in of),
                look_alikes=_look_alikes(self.dataset, found[label]),
                main=self.task.main,
            )
            for label, of in runs.items()
        )

    def _found(self, run: RunResult) -> Any:
        """What a run finds in the data set; its folder keeps that."""
        if not self.task.is_kept(run.folder, self.dataset):
            loaded, accelerator = load_run(run.folder.path), start_accelerator()
            loaded.model.to(accelerator.device)
            found = self.task.find(loaded.model, self.dataset, accelerator, batch_size=loaded.config.images_per_step)
            found.write(self.task.predictions(run.folder, self.dataset.split))
            PartialState().wait_for_everyone()
        return self.task.read(run.folder, self.dataset)


def _time_ratio(runs: Sequence[RunResult], first: Sequence[RunResult]) -> float:
    return statistics.median(
        run.seconds_per_step / other.seconds_per_step for run, other in zip(runs, first, strict=True)
    )


def _look_alikes(dataset: DetectionDataset | Data, predictions: Sequence[list[dict]]) -> LookAlikeErrors | None:
    if not isinstance(dataset, Scenes):
        return None
    ground_truth = dataset.coco_ground_truth()
    boxes = {record.image_id: found for record, found in zip(dataset.records, dataset.look_alikes, strict=True)}
    by_seed = [look_alike_errors(ground_truth, p, match_predictions(ground_truth, p), boxes) for p in predictions]
    return mean_look_alike_errors(by_seed)
