"""Every recipe tuned alike, the one that the others are compared to included.

Each gets the same number of trials on the same part of the *training* split, of which another part is held out to
measure on: the validation split is never seen. Trials are whittled down by successive halving (Jamieson and Talwalkar,
Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016): all of them on a third of the
epochs, each with a schedule of its own, and the best third of them on all epochs. Where a third is less than
`FEWEST_EPOCHS`, all are trained on all epochs.

A trial is an ordinary run in `tuning/<recipe>/trial<k>-epochs<e>`; what is finished is not trained again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hardmine.comparison.contenders import RecipeChoice, folder_of, with_recipe
from hardmine.comparison.search import Trial, trials
from hardmine.comparison.together import Job, train_all
from hardmine.errors import ConfigError, RunError
from hardmine.training import TrainingConfig
from hardmine.training.tasks import task_of

__all__ = ["HELD_OUT", "TUNING_SEED", "Tuned", "TunedTrial", "held_out_of", "tune"]

HELD_OUT = "1/4"
"""The part of the training split that trials are measured on."""
TUNING_SEED = 1000
"""Of every trial: none of the seeds that are compared afterwards."""
REDUCTION = 3
FEWEST_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class TunedTrial:
    """What came of a trial: the AP on the part held out after so many epochs; None where its loss diverged.

    Of a segmentation `ap` is its mIoU, which recipes are chosen by there.
    """

    trial: Trial
    epochs: int
    ap: float | None


@dataclass(frozen=True, slots=True)
class Tuned:
    """All trials of a recipe, those of the last round last, and the one that was chosen."""

    recipe: str
    trials: tuple[TunedTrial, ...]

    @property
    def chosen(self) -> TunedTrial:
        """The best of those that were trained longest; of equals the earlier."""
        return _best([trial for trial in self.trials if trial.epochs == self.trials[-1].epochs])[0]

    @property
    def gain(self) -> float | None:
        """AP of what was chosen above that of the recipe's own setting, after the epochs that both were trained for.

        None where one of them diverged.
        """
        own = [of for of in self.trials if of.trial.number == 1][-1]
        chosen = next(of for of in self.trials if (of.trial, of.epochs) == (self.chosen.trial, own.epochs))
        return None if own.ap is None or chosen.ap is None else chosen.ap - own.ap

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self) | {"chosen": asdict(self.chosen), "gain": self.gain}


def tune(
    config: TrainingConfig,
    recipes: Sequence[RecipeChoice],
    num_trials: int,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    jobs: int = 1,
) -> dict[str, Tuned]:
    """Trains so many trials of each recipe in `out`: label -> all of them.

    Raises:
        ConfigError, DataError: fewer than 2 trials, or as `held_out_of`; nothing was trained.
        RunError: all trials of a recipe diverged, or a run failed.
    """
    held_out = held_out_of(config)
    entered = {recipe.label: (recipe, trials(recipe, config, num_trials)) for recipe in recipes}
    done: dict[str, list[TunedTrial]] = {label: [] for label in entered}
    for keep, epochs in rounds(num_trials, _num_epochs(held_out)):
        going = {label: (recipe, _survivors(done[label], of, keep)) for label, (recipe, of) in entered.items()}
        for label, trial in _train(replace(held_out, epochs=epochs), going, out, resume, progress, jobs):
            done[label].append(trial)
        _refuse_diverged(done)
    return {label: Tuned(label, tuple(of)) for label, of in done.items()}


def held_out_of(config: TrainingConfig) -> TrainingConfig:
    """The configuration with a part of the training split held out to measure on, under the seed of trials.

    Raises: ConfigError: it holds out a fold itself.  DataError: that part cannot be held out, or has no object.
    """
    if config.fold is not None:
        raise ConfigError(f"tuning holds out a part of the training split itself; leave fold {config.fold} out")
    held_out = replace(config, fold=HELD_OUT, seed=TUNING_SEED)
    task_of(held_out).open_measured_data(held_out)
    return held_out


def rounds(num_trials: int, epochs: int) -> list[tuple[int, int]]:
    """How many trials are trained for how many epochs, round by round."""
    first = epochs // REDUCTION
    return (
        [(num_trials, epochs)]
        if first < FEWEST_EPOCHS
        else [
            (num_trials, first),
            (math.ceil(num_trials / REDUCTION), epochs),
        ]
    )


def _num_epochs(config: TrainingConfig) -> int:
    train_data, _ = task_of(config).open_training_data(config)
    return config.num_epochs(len(train_data), 1)


def _survivors(done: Sequence[TunedTrial], entered: Sequence[Trial], keep: int) -> list[Trial]:
    return [of.trial for of in _best(done)[:keep] if of.ap is not None] if done else list(entered)


def _refuse_diverged(done: Mapping[str, Sequence[TunedTrial]]) -> None:
    """Raises RunError where none of the trials of a recipe that were trained longest is of any use."""
    for label, of in done.items():
        if all(trial.ap is None for trial in of if trial.epochs == of[-1].epochs):
            raise RunError(f"all trials of {label} diverged, so none can be chosen; tune again with a lower --lr")


def _best(done: Sequence[TunedTrial]) -> list[TunedTrial]:
    return sorted(done, key=lambda of: -1.0 if of.ap is None else of.ap, reverse=True)


def _train(
    config: TrainingConfig,
    going: Mapping[str, tuple[RecipeChoice, list[Trial]]],
    out: Path,
    resume: bool,
    progress: bool,
    jobs: int,
) -> list[tuple[str, TunedTrial]]:
    """The first trial of every recipe, then the second: what is stopped has tuned all alike."""
    longest = max(len(of) for _, of in going.values())
    entries = [
        (label, recipe, of[place])
        for place in range(longest)
        for label, (recipe, of) in going.items()
        if place < len(of)
    ]
    to_train = [
        Job(
            number=number,
            name=f"{label}, trial {trial.number}",
            config=trial.of(with_recipe(config, recipe)),
            folder=out / folder_of(label) / f"trial{trial.number}-epochs{config.epochs}",
            may_diverge=True,
        )
        for number, (label, recipe, trial) in enumerate(entries, start=1)
    ]
    results = train_all(to_train, jobs, resume=resume, progress=progress)
    return [
        (label, TunedTrial(trial, config.epochs or 0, result and result.main))
        for (label, _, trial), result in zip(entries, results, strict=True)
    ]
