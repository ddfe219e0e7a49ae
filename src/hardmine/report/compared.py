"""What `compare.json` says, as a page shows it: intervals, tables, costs, notes. No number is made here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardmine.errors import DataError
from hardmine.report.drawing import Forest, ForestRow
from hardmine.report.inputs import read_facts
from hardmine.report.names import measure_name, shown

__all__ = [
    "Across",
    "CompareTable",
    "Compared",
    "MeasureGroup",
    "main_of",
    "read_across",
    "read_compared",
    "read_rounds",
]

GROUPS = {
    "AP by size": ("ap_small", "ap_medium", "ap_large"),
    "What errors cost: AP50 that mending them would gain": "error_",
    "Calibration and localisation": ("ece", "lrp"),
    "AP by class": "ap of ",
    "Accuracy": ("mean_accuracy",),
    "IoU by class": "iou of ",
    "Boundary IoU by class": "boundary iou of ",
}
MAIN = {
    "ap": {"ap": "AP", "ap50": "AP50", "ap75": "AP75"},
    "miou": {"miou": "mIoU", "accuracy": "accuracy", "boundary_iou": "boundary IoU"},
}
"""The measure that verdicts are of, and the columns of the table: of boxes, and of masks."""


def main_of(row: Mapping[str, Any]) -> str:
    """The measure that the verdict of a row is of. Raises: KeyError: it has none that is known."""
    return next((name for name in MAIN if name in row["measures"]), "ap")


@dataclass(frozen=True, slots=True)
class CompareTable:
    """Rows as in `compare.json`, and the forest plot of their differences; None without any."""

    caption: str
    rows: Sequence[Mapping[str, Any]]
    forest: Forest | None

    @property
    def main(self) -> str:
        """The measure that verdicts are of."""
        return main_of(self.rows[0])

    @property
    def columns(self) -> Mapping[str, str]:
        """What is shown of each recipe, measure -> title."""
        return MAIN[self.main]

    @property
    def called(self) -> str:
        """The title of the main measure."""
        return self.columns[self.main]

    @property
    def baseline(self) -> str:
        """The recipe that the others are compared to."""
        return self.rows[0]["recipe"]

    @property
    def has_several_intervals(self) -> bool:
        """Whether the interval that holds for all recipes at once is another one."""
        return len(self.rows) > 2

    @property
    def epochs_differ(self) -> bool:
        return len({row["epochs"] for row in self.rows}) > 1


@dataclass(frozen=True, slots=True)
class MeasureGroup:
    """Measures that belong together: (name, of each recipe what `compare.json` says)."""

    title: str
    rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison.

    tables: on what was measured; at equal time and on the test split where there are such.
    tuned: recipe -> (name of an option, value chosen), and the gain in AP on the part that was held out.
    advice: (recipe, why it was tried), where a diagnosis chose the recipes.
    """

    name: str
    folder: Path
    tables: Sequence[CompareTable]
    measures: Sequence[MeasureGroup]
    notes: Sequence[str]
    seeds: Sequence[int]
    num_images: int
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    tuned: Sequence[tuple[str, Mapping[str, Any], float | None]] = ()
    advice: Sequence[tuple[str, str]] = ()

    @property
    def recipes(self) -> list[str]:
        return [row["recipe"] for row in self.tables[0].rows]


@dataclass(frozen=True, slots=True)
class Across:
    """The answer over several data sets.  rows: as `compare.json` has them, with the recipe's name.

    called: the measure that differences are in.
    """

    rows: Sequence[Mapping[str, Any]]
    forest: Forest
    num_data: int
    has_verdicts: bool = field(default=False)
    called: str = "AP"


def read_compared(folder: Path, facts: Mapping[str, Any], name: str = "") -> Compared:
    """From what `compare.json` in a folder says. Raises: DataError: it lacks something."""
    try:
        return _compared(folder, facts, name)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise DataError(f"{folder / 'compare.json'} lacks or mistakes {error}; compare again with --resume") from error


def _compared(folder: Path, facts: Mapping[str, Any], name: str) -> Compared:
    rows = facts["recipes"]
    split = facts["protocol"].get("test_split")
    tables = [
        _table(f"On {_measured_on(facts['config'])}", rows),
        *([_table(f"Trained for as long as {rows[0]['recipe']}", of)] if (of := facts["at_equal_time"]) else []),
        *([_table(f"On {split}, by which nothing was chosen", of)] if (of := facts["on_test"]) else []),
    ]
    return Compared(
        name=name,
        folder=folder,
        tables=tables,
        measures=_measures(rows),
        notes=list(facts["notes"]),
        seeds=facts["seeds"],
        num_images=int(facts["num_images"]),
        config=facts["config"],
        environment=facts["environment"],
        tuned=[_tuned(label, of) for label, of in facts["tuned"].items()],
        advice=_advice(folder),
    )


def _advice(folder: Path) -> list[tuple[str, str]]:
    file = folder / "advice.json"
    return [(of["recipe"], of["reason"]) for of in read_facts(file)["advice"]] if file.exists() else []


def _measured_on(config: Mapping[str, Any]) -> str:
    return f"{config['data']}, split {config['val_split']}" if config["fold"] is None else f"fold {config['fold']}"


def _table(caption: str, rows: Sequence[Mapping[str, Any]]) -> CompareTable:
    main = main_of(rows[0])
    of_others = [_forest_row(row["recipe"], row["measures"][main], row["verdict"]) for row in rows[1:]]
    drawn = [row for row in of_others if row is not None]
    return CompareTable(caption, rows, Forest(drawn) if drawn else None)


def _forest_row(name: str, measured: Mapping[str, Any], verdict: str) -> ForestRow | None:
    of = measured["difference"]
    if of is None:
        return None
    ends = (of["simultaneous_low"], of["simultaneous_high"])
    return ForestRow(name, of["value"], of["low"], of["high"], *ends, verdict)


def _measures(rows: Sequence[Mapping[str, Any]]) -> list[MeasureGroup]:
    names = [name for name in rows[0]["measures"] if name not in MAIN[main_of(rows[0])]]
    groups = []
    for title, which in GROUPS.items():
        chosen = [name for name in names if (name.startswith(which) if isinstance(which, str) else name in which)]
        of_group = [(_name_in(title, name), [row["measures"][name] for row in rows]) for name in chosen]
        if kept := [(name, cells) for name, cells in of_group if any(cell["mean"] is not None for cell in cells)]:
            groups.append(MeasureGroup(title, kept))
    return groups


def _name_in(title: str, name: str) -> str:
    which = GROUPS[title]
    by_class = isinstance(which, str) and which.endswith(" of ")
    return shown(name.removeprefix(which)) if by_class and isinstance(which, str) else measure_name(name)


def _tuned(label: str, of: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], float | None]:
    trial = of["chosen"]["trial"]
    chosen = {"learning rate": trial["lr"], "weight of classification": trial["classification_weight"]}
    return label, chosen | dict(trial["options"]), of.get("gain")


def read_across(folder: Path, facts: Mapping[str, Any]) -> tuple[Across, list[Compared]]:
    """From what `compare.json` of several data sets says. Raises: DataError: it lacks something."""
    try:
        rows = [{"recipe": name, **of} for name, of in facts["across"].items()]
        forest = Forest([_across_row(row) for row in rows])
        on = facts["on"].items()
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'compare.json'} lacks or mistakes {error}; compare again with --resume") from error
    compared = [read_compared(folder / name, of, name) for name, of in on]
    has_verdicts = all(len(of.seeds) > 1 for of in compared)
    called = compared[0].tables[0].called if compared else "AP"
    return Across(rows, forest, len(compared), has_verdicts, called), compared


def _across_row(row: Mapping[str, Any]) -> ForestRow:
    of = row["mean_difference"]
    return ForestRow(row["recipe"], of["value"], of["low"], of["high"], of["low"], of["high"], "")


def read_rounds(folder: Path, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The rows of `rounds.json`. Raises: DataError: it lacks something."""
    try:
        return [row | {"ap": row["metrics"]["ap"], "ap50": row["metrics"]["ap50"]} for row in facts["rounds"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / 'rounds.json'} lacks or mistakes {error}; run the loop again") from error
