"""What `compare` prints: recipes with their intervals, where differences lie, and what must be said with them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hardmine.cli.layout import Cell, Column, Table, table_of
from hardmine.cli.tables import UNDEFINED, difference_cell, number

if TYPE_CHECKING:
    from hardmine.comparison import Comparison, ComparisonRow
    from hardmine.comparison.several import SeveralComparisons
    from hardmine.comparison.tuning import Tuned
    from hardmine.evaluation import Difference, Estimate, LookAlikeErrors
    from hardmine.training.tasks import Task

__all__ = ["comparison_tables", "several_tables"]

MOST_COLUMNS = 6
"""Recipes of which a table of measures is printed; of more, `compare.json` has it."""


def comparison_tables(comparison: "Comparison") -> Iterator[str | Table]:
    """What was chosen in tuning, the recipes, the same at equal time and on test, and what must be said with them."""
    task = comparison.task
    if comparison.tuned:
        yield tuning_table(comparison.tuned.values(), task.called)
    yield comparison_table(comparison.rows, task)
    if comparison.num_seeds > 1 and 1 < len(comparison.rows) <= MOST_COLUMNS:
        yield measures_table(comparison.rows)
        of_errors = " Of errors, ece and lrp less is better." if _has_errors(comparison.rows) else ""
        yield f"* the interval that holds for all recipes at once leaves out 0.{of_errors}"
    if comparison.at_equal_time:
        yield f"Trained for as long as {comparison.rows[0].recipe}:"
        yield comparison_table(comparison.at_equal_time, task)
    if comparison.on_test:
        yield f"On {comparison.protocol.test_split}:"
        yield comparison_table(comparison.on_test, task)
    yield from comparison.notes


def several_tables(several: "SeveralComparisons") -> Iterator[str | Table]:
    """The tables of each data set, then those of all."""
    for name, comparison in several.on.items():
        yield f"On {name}:"
        yield from comparison_tables(comparison)
    rows = []
    for recipe, of in several.across.items():
        share = of.probability_of_improvement
        chance = f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
        rows.append((recipe, _estimate(of.mean_difference), _estimate(of.middle_mean), chance))
    called = next(iter(several.on.values())).task.called
    columns = "recipe", f"difference in {called}, mean", "mean of the middle half", "wins a pair of runs"
    yield table_of(*columns, rows=rows, caption=f"Over {len(several.on)} data sets:")
    yield f"95 % intervals; {_how_to_read(several)} Each data set counts alike, and the answer holds for these."


def _how_to_read(several: "SeveralComparisons") -> str:
    if any(of.num_seeds == 1 for of in several.on.values()):
        return "with one seed they leave out what another one changes, so there is no verdict."
    return "go by that of the mean."


def _estimate(of: "Estimate") -> str:
    return f"{of.value:+.3f} [{of.low:+.3f}, {of.high:+.3f}]"


def _has_errors(rows: "Sequence[ComparisonRow]") -> bool:
    return any(measured.lower_is_better for row in rows for measured in row.measures.values())


def comparison_table(rows: "Sequence[ComparisonRow]", task: "Task") -> Table:
    """One row per recipe; the interval that holds for all recipes at once and the verdict stand under its own.

    Where recipes were trained for different numbers of epochs, these stand in the place of memory.
    """
    has_look_alikes, epochs_differ = any(row.look_alikes for row in rows), len({row.epochs for row in rows}) > 1
    columns: list[str | Column] = ["recipe", *(Column(title, "number") for title in task.columns.values())]
    columns += [
        f"difference in {task.called}",
        Column("step time", "number"),
        Column("epochs" if epochs_differ else "peak MB", "number"),
    ]
    columns += ["look-alikes hit, AUC"] if has_look_alikes else []
    made = []
    for row in rows:
        difference = difference_cell(row.difference, row.verdict, is_one_of_many=len(rows) > 2)
        cells = [row.recipe, *(number(row[name].mean) for name in task.columns), difference]
        cells += [f"{row.step_time_ratio:.2f}x", f"{row.epochs if epochs_differ else row.peak_memory_mb:.0f}"]
        made.append([*cells, *([_look_alikes(row.look_alikes)] if has_look_alikes else [])])
    return table_of(*columns, rows=made)


def measures_table(rows: "Sequence[ComparisonRow]") -> Table:
    """Where the differences to the first recipe lie: a measure a row, those that leave 0 out with a star."""
    first, *others = rows
    made = []
    for name, measured in first.measures.items():
        differences = [row[name].difference for row in others]
        if any(differences):
            made.append((name.replace("_", " "), number(measured.mean), *map(_starred, differences)))
    recipes = [Column(row.recipe, "number") for row in rows]
    return table_of(f"difference to {first.recipe}", *recipes, rows=made)


def tuning_table(tuned: "Iterable[Tuned]", called: str = "AP") -> Table:
    """What was chosen for each recipe, and what that gained over its defaults on the part held out."""
    rows: list[tuple[Cell, ...]] = []
    for of in tuned:
        trial = of.chosen.trial
        options = [f"{name}={_short(value)}" for name, value in trial.options.items()] or UNDEFINED
        gain = UNDEFINED if of.gain is None else f"{of.gain:+.3f}"
        found = number(of.chosen.ap), gain, str(len({one.trial.number for one in of.trials}))
        rows.append((of.recipe, f"{trial.lr:.2g}", f"{trial.classification_weight:.2g}", options, *found))
    numbers = [Column(name, "number") for name in (called, "gain", "trials")]
    return table_of("tuned", Column("lr", "number"), Column("class. weight", "number"), "options", *numbers, rows=rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _starred(difference: "Difference | None") -> str:
    if difference is None:
        return UNDEFINED
    is_seen = difference.simultaneous_low > 0 or difference.simultaneous_high < 0
    return f"{difference.value:+.3f}{'*' if is_seen else ''}"


def _look_alikes(errors: "LookAlikeErrors | None") -> str:
    if errors is None:
        return UNDEFINED
    share, auc = errors.share_at_matched_recall, errors.auc
    return f"{UNDEFINED if share is None else format(share, '.0%')}, {UNDEFINED if auc is None else format(auc, '.2f')}"
