"""Learning curves of runs, from `metrics.jsonl`: AP or mIoU, loss and its parts, learning rate, time of a step.

Runs in one folder that differ in nothing but the seed are drawn alike, as one entry of the legend.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os.path import commonpath, commonprefix
from pathlib import Path

from hardmine.errors import RunError
from hardmine.figures.epochs import EPOCH, LOSS, Rows, is_number, parts_of_loss, points, read_rows
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.training import RunFolder

__all__ = ["curves", "find_runs"]

MEASURES = (
    {"ap": "AP", "ap50": "AP50", "ap75": "AP75"},
    {"miou": "mIoU", "accuracy": "accuracy", "boundary_iou": "boundary IoU"},
)
"""Of each task, the main one first."""
SUM = "Loss", EPOCH, "mean of the epoch"
RATE = "Learning rate", EPOCH, "learning rate"
TIME = "Time of a step", EPOCH, "seconds, median"
PANELS_A_ROW = 3
STEEP = 100.0
"""Largest part of the loss over the smallest, from which only a logarithmic axis shows both."""
NOTE = "Loss and its parts are means over the steps of an epoch, each part as it enters the sum."
NOTE_OF_SEEDS = "Runs that differ in the seed only have one colour."


@dataclass(frozen=True, slots=True)
class _Curve:
    """The rows of one run.  group: the legend's entry that it is drawn under."""

    name: str
    group: str
    rows: Rows

    def of(self, key: str, name: str = "", *, is_own: bool = False) -> Series:
        """A series over the epochs that have a number under the key."""
        epochs, values = points(self.rows, key)
        group = "" if name else self.group
        kind = "points" if len(values) == 1 else "line"
        return Series(name or self.name, epochs, values, kind, is_own, group=group)


def curves(runs: Mapping[str, Path]) -> Figure:
    """The learning curves of runs, by the names under which they are shown; runs that go on may be drawn too.

    Of one run, AP, AP50 and AP75, and all parts of the loss in one panel; of several, AP, and a panel for each part.

    Raises: RunError: no run, a folder that is no run, or one without a finished epoch.
    """
    if not runs:
        raise RunError("there are no runs to draw; give folders of hardmine train, or of hardmine compare")
    folders = {name: RunFolder(Path(path)) for name, path in runs.items()}
    groups = _groups({name: _kind_of(folder) for name, folder in folders.items()})
    read = [_Curve(name, groups[name], _rows(folder)) for name, folder in folders.items()]
    panels = _panels_of_one(read[0]) if len(read) == 1 else _panels_of_several(read)
    title = "Learning curves" if len(read) > 1 else f"Learning curves of {read[0].name}"
    note = " ".join([NOTE, *([NOTE_OF_SEEDS] if len(set(groups.values())) < len(groups) else [])])
    return Figure(title, panels, note)


def find_runs(paths: Iterable[Path]) -> dict[str, Path]:
    """The runs in these folders, by names that tell them apart: a run, a comparison (all seeds) or a loop (all rounds).

    Raises: RunError: a folder with none that has finished an epoch.
    """
    found: dict[str, Path] = {}
    for path in paths:
        inside = _runs_in(path)
        if not inside:
            raise RunError(f"{path} holds no run with a finished epoch; expected a folder of hardmine train or compare")
        found |= {str(run): run for run in inside}
    return {_name_among(run, list(found.values())): run for run in found.values()}


def _runs_in(path: Path) -> list[Path]:
    """A folder itself, the seeds of its recipes, or else the runs directly in it, such as the rounds of a loop."""
    if RunFolder(path).metrics.exists():
        return [path]
    for pattern in ("*/seed*", "*"):
        runs = sorted(folder for folder in path.glob(pattern) if RunFolder(folder).metrics.exists())
        if runs:
            return runs
    return []


def _name_among(run: Path, runs: Sequence[Path]) -> str:
    """The run's path without what all have before it; of a lone one, its folder and the one above."""
    folders = [other.absolute() for other in runs]
    shared = len(Path(commonpath(folders)).parts) if len(runs) > 1 else max(1, len(folders[0].parts) - 2)
    return "/".join(run.absolute().parts[shared:]) or run.name


def _kind_of(folder: RunFolder) -> str:
    """What tells runs apart that are not of one kind: all but the seed, and what changes no result."""
    options = asdict(folder.read_config()) | {"seed": None, "track": None, "workers": None, "compile": None}
    return json.dumps([str(folder.path.absolute().parent), options], sort_keys=True)


def _groups(kinds: Mapping[str, str]) -> dict[str, str]:
    """The entry of the legend of each run: its name, or what the names of its kind begin with."""
    alike: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        alike.setdefault(kind, []).append(name)
    begun = {kind: _begin_of(names) for kind, names in alike.items()}
    is_twice = {begin for begin in begun.values() if list(begun.values()).count(begin) > 1}
    return {name: begun[kind] if begun[kind] not in is_twice else alike[kind][0] for name, kind in kinds.items()}


def _begin_of(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    begin = commonprefix(names)  # noqa: RUF071 - of texts, not of paths
    return re.sub(r"[^\w=)\]]*(seed\d*)?[^\w=)\]]*$", "", begin) or f"{names[0]} and other seeds"


def _rows(folder: RunFolder) -> Rows:
    rows = read_rows(folder.metrics)
    if not rows or not all(is_number(row.get(EPOCH)) for row in rows):
        raise RunError(f"{folder.metrics}: expected a line for each finished epoch, and one at least")
    return rows


def _panels_of_one(curve: _Curve) -> list[Panel]:
    parts = parts_of_loss([curve.rows])
    losses = [curve.of(part, part, is_own=part == LOSS) for part in (LOSS, *(parts if len(parts) > 1 else ()))]
    last = _last_epoch([curve])
    measures = [
        _measured(of, [curve.of(key, name, is_own=name == _main(of)) for key, name in of.items()], last)
        for of in MEASURES
    ]
    panels = [
        *measures,
        Panel(*SUM, losses, log_y=_is_steep(losses), counts=last),
        Panel(*RATE, [curve.of("lr", "lr")], row=1, counts=last),
        Panel(*TIME, [curve.of("seconds_per_step", "seconds")], row=1, counts=last),
    ]
    return _with_points(panels)


def _panels_of_several(read: Sequence[_Curve]) -> list[Panel]:
    parts, last = parts_of_loss(curve.rows for curve in read), _last_epoch(read)
    losses = {LOSS: SUM[0]} | {part: part for part in (parts if len(parts) > 1 else ())}
    panels = [_measured(of, [curve.of(next(iter(of))) for curve in read], last) for of in MEASURES]
    for key, title in losses.items():
        series = [curve.of(key) for curve in read]
        panels.append(Panel(title, *SUM[1:], series, log_y=_is_steep(series), counts=last))
    panels.append(Panel(*RATE, [curve.of("lr") for curve in read], counts=last))
    panels.append(Panel(*TIME, [curve.of("seconds_per_step") for curve in read], counts=last))
    return [replace(panel, row=place // PANELS_A_ROW) for place, panel in enumerate(_with_points(panels))]


def _main(measures: Mapping[str, str]) -> str:
    return next(iter(measures.values()))


def _measured(measures: Mapping[str, str], series: Sequence[Series], epochs: tuple[int, int]) -> Panel:
    called = _main(measures)
    return Panel(f"{called} on the validation split", EPOCH, called, list(series), counts=epochs)


def _last_epoch(read: Sequence[_Curve]) -> tuple[int, int]:
    return 1, max(row[EPOCH] for curve in read for row in curve.rows)


def _is_steep(series: Sequence[Series]) -> bool:
    values = [y for one in series for y in one.y]
    return bool(values) and 0 < STEEP * min(values) < max(values)


def _with_points(panels: Iterable[Panel]) -> list[Panel]:
    """Without series that have no point, and without panels that have no series."""
    kept = [replace(panel, series=[series for series in panel.series if series.y]) for panel in panels]
    return [panel for panel in kept if panel.series]
