"""How runs were learnt, epoch by epoch, from their `metrics.jsonl`."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardmine.figures.figure import Panel, Series
from hardmine.report.inputs import read_lines
from hardmine.report.names import shown

__all__ = ["Rows", "learning_panels", "rows_of", "runs_of"]

Rows = Sequence[Mapping[str, Any]]
NO_LOSS = frozenset(
    (
        *("epoch", "step", "lr", "loss", "seconds", "seconds_per_step", "images_per_second"),
        *("peak_memory_mb", "peak_memory_of"),
        *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100", "per_class"),
    )
)
"""What a line of an epoch holds beside the parts of the loss."""


def rows_of(run: Path) -> Rows:
    """A line an epoch; nothing where the run has none yet. Raises: RunError: the file is damaged."""
    file = run / "metrics.jsonl"
    return read_lines(file) if file.exists() else []


def runs_of(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Path]]:
    """Recipe -> the folders of its runs, one a seed, of the rows of a comparison in a folder."""
    return {row["recipe"]: [folder / row["recipe"] / f"seed{seed}" for seed in row["seeds"]] for row in rows}


def learning_panels(runs: Mapping[str, Sequence[Rows]]) -> list[Panel]:
    """AP, the loss and each of its parts over the epochs; a line a run, runs of one name alike."""
    names = dict.fromkeys(key for of in runs.values() for rows in of for row in rows for key in row)
    parts = ["ap", "loss", *(name for name in names if name not in NO_LOSS)]
    panels = [_panel(part, runs) for part in parts]
    return [panel for panel in panels if panel.series]


def _panel(part: str, runs: Mapping[str, Sequence[Rows]]) -> Panel:
    title = {"ap": "AP", "loss": "Loss, all parts"}.get(part, shown(part).replace("_", " "))
    series = [line for name, of in runs.items() for rows in of if (line := _line(name, part, rows))]
    return Panel(title, "epoch", title, series)


def _line(name: str, part: str, rows: Rows) -> Series | None:
    points = [(row["epoch"], row[part]) for row in rows if _is_number(row.get(part)) and _is_number(row.get("epoch"))]
    return Series(name, [x for x, _ in points], [y for _, y in points]) if points else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
