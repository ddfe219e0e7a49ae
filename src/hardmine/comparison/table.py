"""What a comparison says: a row a recipe, every measure with the interval of its difference to the first recipe's."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hardmine.comparison.tuning import Tuned
from hardmine.errors import ConfigError
from hardmine.evaluation import Difference, LookAlikeErrors
from hardmine.evaluation.look_alikes import MATCHED_RECALL
from hardmine.training import TrainingConfig
from hardmine.training.tasks import Task, task_of

__all__ = ["Comparison", "ComparisonRow", "Measured", "Protocol"]

AIMED_DIFFERENCES = (0.01, 0.02)
"""Differences in AP or mIoU for which the table says how many seeds would show them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How recipes are compared, beside how they are trained.

    margin: a difference in AP or mIoU that makes none: recipes within it are called equal; None: none are.
    test_split: also measured, on what was not chosen by.
    match_time: each recipe is also trained for as many epochs as take the time of the first one's.
    tune: trials of each recipe before, on a part of the training split; None: all have their defaults.

    Raises: ConfigError: a margin that is not between 0 and 1, as AP is.
    """

    margin: float | None = None
    test_split: str | None = None
    match_time: bool = False
    tune: int | None = None

    def __post_init__(self) -> None:
        if self.margin is not None and not 0 < self.margin < 1:
            raise ConfigError(
                f"margin must be above 0 and below 1, as AP is, got {self.margin}; leave it out for differences only"
            )


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of a recipe: its mean over the seeds, all images; None where there is nothing to measure it by.

    difference: to the first recipe; None for that one, and where too few draws of the images define the measure.
    lower_is_better: as of an error.
    """

    mean: float | None
    by_seed: tuple[float | None, ...]
    difference: Difference | None = None
    lower_is_better: bool = False

    @property
    def verdict(self) -> str:
        """What the interval of the difference says, in words; empty where there is none."""
        if self.difference is None:
            return ""
        verdict = self.difference.verdict
        return OPPOSITES.get(verdict, verdict) if self.lower_is_better else verdict

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self) | {"verdict": self.verdict}


OPPOSITES = {"better": "worse", "worse": "better"}
NOTHING = Measured(None, ())


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One recipe's outcome. Measures, memory and look-alike errors are means over the seeds.

    `step_time_ratio` is to the first recipe, paired by seed (median): times are only comparable within one comparison.
    `look_alikes` is None where the data have none planted. `epochs`: that it was trained for. `main`: the measure that
    verdicts are of.
    """

    recipe: str
    measures: Mapping[str, Measured]
    seeds: tuple[int, ...]
    epochs: int
    step_time_ratio: float
    peak_memory_mb: float
    look_alikes: LookAlikeErrors | None = None
    main: str = "ap"

    def __getitem__(self, measure: str) -> Measured:
        return self.measures.get(measure, NOTHING)

    @property
    def difference(self) -> Difference | None:
        """In the main measure, to the first recipe."""
        return self[self.main].difference

    @property
    def mean(self) -> float | None:
        """Of the main measure."""
        return self[self.main].mean

    @property
    def verdict(self) -> str:
        """What the interval of the difference says; empty for the recipe that the others are compared to."""
        return self[self.main].verdict

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        measures = {name: measured.to_dict() for name, measured in self.measures.items()}
        return asdict(self) | {"measures": measures, "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The tables, what they were made from, and what must be said with them (`notes`).

    at_equal_time, on_test: rows like `rows`, of runs that took as long as the first recipe's, and of the test split.
    units: what the draws are of: images, or groups of them.  environment: versions and hardware of the first run.
    """

    rows: tuple[ComparisonRow, ...]
    num_images: int
    peak_memory_of: str
    config: TrainingConfig
    protocol: Protocol = field(default_factory=Protocol)
    num_units: int | None = None
    at_equal_time: tuple[ComparisonRow, ...] = ()
    on_test: tuple[ComparisonRow, ...] = ()
    tuned: Mapping[str, Tuned] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_seeds(self) -> int:
        """On how many each recipe was trained."""
        return len(self.rows[0].seeds)

    @property
    def task(self) -> Task:
        """What was trained for."""
        return task_of(self.config)

    @property
    def chosen(self) -> ComparisonRow:
        """The recipe with the highest AP, or mIoU, on what was measured; of equals the earlier."""
        return max(self.rows, key=lambda row: row.mean or 0.0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to read the table right."""
        notes = [self._about_intervals(), *self._about_power(), *self._about_learning(), *self._about_noise()]
        notes.append(f"Step time: ratio to {self.rows[0].recipe}. Memory: {self.peak_memory_of}.")
        if self.on_test:
            notes.append(self._about_test())
        if any(row.look_alikes for row in self.rows):
            notes.append(
                f"Look-alikes hit: share of planted look-alikes with a prediction on them, at the score where "
                f"{MATCHED_RECALL:.0%} of the objects are found; AUC: chance that an object outscores a look-alike."
            )
        return tuple(notes)

    def _about_intervals(self) -> str:
        baseline, num_seeds = self.rows[0].recipe, self.num_seeds
        units = f"{self.num_images} images"
        if self.config.group_by is not None:
            units = f"{self.num_units} groups of {units} (by {self.config.group_by})"
        covered = f"95 % intervals of the difference in {self.task.called} to {baseline}, over {units}"
        if num_seeds == 1:
            return f"{covered} only: there is one seed, another one may give another result, so there is no verdict."
        several = " A verdict asks that all of them hold at once (the wider interval)." if len(self.rows) > 2 else ""
        return f"{covered} and {num_seeds} seeds.{several}"

    def _about_power(self) -> list[str]:
        """What these seeds and images could have shown, of the recipe of which they can show least."""
        found = [(row.difference.smallest_detectable or 0.0, row.difference) for row in self.rows if row.difference]
        if not found or self.num_seeds == 1:
            return []
        smallest, widest = max(found, key=lambda of: of[0])
        needed = [_said(aimed, widest.seeds_for(aimed)) for aimed in AIMED_DIFFERENCES]
        of_size = f"a difference of {smallest:.3f}" if smallest < 1 else "no difference that there can be"
        shown = f"These seeds and images show {of_size} four times in five"
        return [f"{'; '.join([shown, *needed])}."]

    def _about_learning(self) -> list[str]:
        means = [{name: measured.mean for name, measured in row.measures.items()} for row in self.rows]
        said = self.task.hardly_learnt(means)
        return [] if said is None else [f"{said}: that they are alike says nothing yet; train longer (--epochs)."]

    def _about_noise(self) -> list[str]:
        again = [row for row in self.rows[1:] if row.recipe.startswith(f"{self.rows[0].recipe} again")]
        return [
            f"{row.recipe}: the same recipe on other seeds ({', '.join(map(str, row.seeds))}), so what is between them "
            "is noise."
            for row in again
        ]

    def _about_test(self) -> str:
        chosen = next(row for row in self.on_test if row.recipe == self.chosen.recipe)
        if chosen.difference is None:
            return f"On {self.protocol.test_split}: {chosen.recipe}, the first recipe, stays the choice."
        said = f"{chosen.difference.value:+.3f} [{chosen.difference.low:+.3f}, {chosen.difference.high:+.3f}]"
        by = f"Chosen by its {self.task.called}: {chosen.recipe}"
        return f"{by}; on {self.protocol.test_split}: {said}, {chosen.verdict}."

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        rows = {"recipes": self.rows, "at_equal_time": self.at_equal_time, "on_test": self.on_test}
        return {
            "config": asdict(self.config),
            "protocol": asdict(self.protocol),
            "environment": dict(self.environment),
            "seeds": list(self.rows[0].seeds),
            "num_images": self.num_images,
            "num_units": self.num_units,
            "peak_memory_of": self.peak_memory_of,
            "notes": list(self.notes),
            **{name: [row.to_dict() for row in of] for name, of in rows.items()},
            "tuned": {name: tuned.to_dict() for name, tuned in self.tuned.items()},
        }

    def to_csv(self) -> str:
        """One line per recipe and measure."""
        tables = {"": self.rows, "equal time": self.at_equal_time, "test": self.on_test}
        lines = [
            {"table": name, "recipe": row.recipe, "measure": measure, **_flat(measured)}
            for name, rows in tables.items()
            for row in rows
            for measure, measured in row.measures.items()
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for line in lines for key in line)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return text.getvalue()


def _said(aimed: float, num_seeds: int | None) -> str:
    if num_seeds is None:
        return f"for {aimed:g} the images are too few, whatever the seeds"
    return f"for {aimed:g} it takes {num_seeds} seeds"


def _flat(measured: Measured) -> dict[str, Any]:
    difference = {} if measured.difference is None else asdict(measured.difference) | {"verdict": measured.verdict}
    by_seed = " ".join("" if value is None else str(value) for value in measured.by_seed)
    return {"mean": measured.mean, "by_seed": by_seed, **difference}
