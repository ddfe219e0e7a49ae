"""One command, one answer: which recipe for this detector and these data?

The default recipe is trained once on a part of the training split and diagnosed; three recipes are chosen by what that
says; they and the default are tuned alike and compared; and one of them is recommended, or none. All of it lies in one
folder, and goes on where it was stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import PartialState

from hardmine.comparison.advice import BASELINE, Advice, advise
from hardmine.comparison.compare import check_comparison, compare, every_recipe, refuse_taken
from hardmine.comparison.contenders import RecipeChoice, with_recipe
from hardmine.comparison.table import Comparison, ComparisonRow, Protocol
from hardmine.comparison.tuning import held_out_of
from hardmine.diagnosis.held_back import diagnose
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.files.reading import parse_json, read_text
from hardmine.files.writing import write_json
from hardmine.training import TrainingConfig, train
from hardmine.training.tasks import DETECTION, task_of

__all__ = ["NUM_TRIALS", "Recommendation", "compare_advised", "recommend"]

NUM_TRIALS = 6
"""Of each recipe, where it is not said."""
ADVICE = "advice.json"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to use, in a sentence. recipe: its name in the comparison."""

    recipe: str
    text: str


def compare_advised(
    config: TrainingConfig,
    seeds: Sequence[int],
    out: Path | str,
    *,
    protocol: Protocol | None = None,
    resume: bool = False,
    progress: bool = True,
    jobs: int = 1,
) -> tuple[list[Advice], Comparison]:
    """Diagnoses the default recipe, and compares it with the three that are advised; as `compare`, tuned.

    Leaves `advice.json` beside what `compare` leaves, with the diagnosis and the reasons.

    Raises: as `compare`.  ConfigError: the configuration holds out a fold itself, or is of another task than detection.
    """
    out, protocol = Path(out), protocol or Protocol()
    if task_of(config) is not DETECTION:
        raise ConfigError(f"recipes are advised for detection only; name those to compare, {task_of(config).recipes}")
    protocol = replace(protocol, tune=protocol.tune or NUM_TRIALS)
    check_comparison(config, [RecipeChoice(BASELINE)], seeds, protocol)
    refuse_taken(out, resume=resume)
    advice = _advice(config, out, resume=resume, progress=progress)
    recipes = [RecipeChoice(BASELINE), *(RecipeChoice(of.recipe, of.options) for of in advice)]
    compared = compare(config, recipes, seeds, out, protocol=protocol, resume=True, progress=progress, jobs=jobs)
    return advice, compared


def recommend(comparison: Comparison) -> Recommendation:
    """The recipe with the highest AP of those that are better than the first one; the first one if none is."""
    first, *others = comparison.rows
    better = [row for row in others if row.verdict == "better"]
    if better:
        best = max(better, key=lambda row: row.mean or 0.0)
        return Recommendation(best.recipe, f"use {best.recipe}: {_gain(best)}, {_cost(best)}")
    highest = max(others, key=lambda row: row.mean or 0.0, default=first)
    why = "one seed shows of none that it is better" if len(first.seeds) == 1 else "no other is better beyond doubt"
    stay = f"stay with {first.recipe}: {why}"
    if highest.difference is None:
        return Recommendation(first.recipe, stay)
    return Recommendation(
        first.recipe, f"{stay}; the highest, {highest.recipe}, has {_gain(highest)}{_needed(highest)}"
    )


def _gain(row: ComparisonRow) -> str:
    of = row.difference
    if of is None:
        return ""
    return f"{100 * of.value:+.1f} AP [{100 * of.simultaneous_low:+.1f}, {100 * of.simultaneous_high:+.1f}]"


def _needed(row: ComparisonRow) -> str:
    """How many seeds would show a gain such as was seen, where more would."""
    of = row.difference
    needed = None if of is None or of.value <= 0 else of.seeds_for(of.value)
    if of is None or needed is None or needed <= of.num_seeds:
        return ""
    return f", which {needed} seeds would show, if it is there: the same command with --seeds {needed} --resume"


def _cost(row: ComparisonRow) -> str:
    percent = round(100 * (row.step_time_ratio - 1))
    return f"a step takes {abs(percent)} % {'more' if percent >= 0 else 'less'} time"


def _advice(config: TrainingConfig, out: Path, *, resume: bool, progress: bool) -> list[Advice]:
    """What was once advised stays: it decides what is compared."""
    file = out / ADVICE
    if not file.exists():
        held_out = held_out_of(with_recipe(config, RecipeChoice(BASELINE)))
        run = train(held_out, out / "diagnosed", resume=resume, progress=progress)
        diagnosis = diagnose(run.folder.path)
        advice = advise(diagnosis, [choice.name for choice in every_recipe(config)])
        if PartialState().is_main_process:
            stored = {"advice": [of.to_dict() for of in advice], "diagnosis": diagnosis.to_dict()}
            write_json(file, stored)
        PartialState().wait_for_everyone()
    return _read_advice(file)


def _read_advice(file: Path) -> list[Advice]:
    try:
        return [Advice(**stored) for stored in parse_json(read_text(file))["advice"]]
    except (DataError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(
            f"{file} is damaged ({error}); delete it, and it is made again from the run that was diagnosed"
        ) from error
