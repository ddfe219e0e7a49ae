"""How runs were learnt, epoch by epoch, from their `metrics.jsonl`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardmine.figures.epochs import EPOCH, LOSS, Rows, parts_of_loss, points, read_rows
from hardmine.figures.figure import Panel, Series
from hardmine.report.names import shown

__all__ = ["learning_panels", "rows_of", "runs_of"]

MEASURES = {"ap": "AP", "miou": "mIoU"}


def rows_of(run: Path) -> Rows:
    """A line an epoch; nothing where the run has none yet. Raises: as `read_rows`."""
    file = run / "metrics.jsonl"
    return read_rows(file) if file.exists() else []


def runs_of(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Path]]:
    """Recipe -> the folders of its runs, one a seed, of the rows of a comparison in a folder."""
    return {row["recipe"]: [folder / row["recipe"] / f"seed{seed}" for seed in row["seeds"]] for row in rows}


def learning_panels(runs: Mapping[str, Sequence[Rows]]) -> list[Panel]:
    """AP or mIoU, the loss and each of its parts over the epochs; a line a run, runs of one name alike."""
    parts = [*MEASURES, LOSS, *parts_of_loss(rows for of in runs.values() for rows in of)]
    panels = [_panel(part, runs) for part in parts]
    return [panel for panel in panels if panel.series]


def _panel(part: str, runs: Mapping[str, Sequence[Rows]]) -> Panel:
    title = (MEASURES | {LOSS: "Loss, all parts"}).get(part, shown(part).replace("_", " "))
    lines = [Series(name, *points(rows, part)) for name, of in runs.items() for rows in of]
    return Panel(title, EPOCH, title, [line for line in lines if line.y])
