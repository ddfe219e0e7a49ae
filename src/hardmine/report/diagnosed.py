"""What `diagnosis.json` says, as panels and tables.

What is required of it stands here, and nowhere else in this room:

    {"detector": str, "run": str, "data": str, "split": str, "num_images": int,
     "recipes": {NAME: {"heads": {HEAD: {"tables": {TABLE: [BIN, ...]}, "totals": {NAME: number}}}}},
     "held_back": {...} or null,
     "sentences": [{"text": str, "numbers": {...}}]}

TABLE is what samples are told apart by: kind, iou, object_size, class, score, loss_decile, level, image; of pixels
contour_distance, too. BIN has "bin",
its name, "count", and shares of the whole in [0, 1]: "samples", "loss", "weight", "gradient"; more numbers may stand
beside them. Only "bin" must be there: what is not there, or null, is not drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardmine.errors import DataError
from hardmine.figures.epochs import is_number
from hardmine.figures.figure import Panel, Series
from hardmine.report.names import shown

__all__ = ["Diagnosed", "DiagnosedHead", "DiagnosedTable", "read_diagnosis"]

SHARES = ("samples", "loss", "weight", "gradient")
MOST_BARS = 16
"""Bins that one panel shows, those with the largest shares; the table has all."""
TITLES = {
    "kind": "by kind of sample",
    "iou": "by IoU with the nearest object",
    "object_size": "by size of the object",
    "class": "by class",
    "score": "by score",
    "loss_decile": "by loss, in tenths of the samples",
    "level": "by level of the pyramid",
    "contour_distance": "by pixels to the next one with another label",
    "image": "by image",
}


@dataclass(frozen=True, slots=True)
class DiagnosedTable:
    """One way to tell samples apart.  rows: (recipe, bins).  panels: one a recipe, on axes of their own."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
    panels: Sequence[Panel]
    num_left_out: int


@dataclass(frozen=True, slots=True)
class DiagnosedHead:
    """A head of the detector: its tables, and (recipe, totals)."""

    name: str
    tables: Sequence[DiagnosedTable]
    totals: Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """facts: detector, run, data, split, num_images.  sentences: (text, numbers).  held_back: name -> value."""

    facts: Mapping[str, Any]
    sentences: Sequence[tuple[str, Mapping[str, Any]]]
    heads: Sequence[DiagnosedHead]
    held_back: Mapping[str, Any]


def read_diagnosis(folder: Path, facts: Mapping[str, Any]) -> Diagnosed:
    """From what `diagnosis.json` in a folder says. Raises: DataError: it lacks something."""
    try:
        recipes = {name: of["heads"] for name, of in facts["recipes"].items()}
        heads = dict.fromkeys(head for of in recipes.values() for head in of)
        return Diagnosed(
            facts={name: facts[name] for name in ("detector", "run", "data", "split", "num_images")},
            sentences=[(of["text"], of.get("numbers") or {}) for of in facts["sentences"]],
            heads=[_head(head, {name: of[head] for name, of in recipes.items() if head in of}) for head in heads],
            held_back=dict(_flat(facts.get("held_back") or {})),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{folder / 'diagnosis.json'} lacks or mistakes {error}; diagnose again") from error


def _flat(of: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value), names of what is within another behind its name."""
    for name, value in of.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}", value


def _head(name: str, recipes: Mapping[str, Mapping[str, Any]]) -> DiagnosedHead:
    tables = dict.fromkeys(table for of in recipes.values() for table in of["tables"])
    return DiagnosedHead(
        name=name,
        tables=[
            _table(table, [(label, of["tables"].get(table) or []) for label, of in recipes.items()]) for table in tables
        ],
        totals=[(label, of.get("totals") or {}) for label, of in recipes.items()],
    )


def _table(name: str, rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> DiagnosedTable:
    columns = dict.fromkeys(column for _, bins in rows for one in bins for column in one if column != "bin")
    shown_bins = _largest(rows)
    title = TITLES.get(name, f"by {shown(name).replace('_', ' ')}")
    num_bins = len({one["bin"] for _, bins in rows for one in bins})
    panels = [panel for label, bins in rows if (panel := _panel(label, title, bins, shown_bins)).series]
    return DiagnosedTable(title, list(columns), rows, panels, num_bins - len(shown_bins))


def _largest(rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """The names of the bins that are drawn, in the order of the file."""
    largest: dict[str, float] = {}
    for _, bins in rows:
        for one in bins:
            shares = [value for share in SHARES if (value := _number(one.get(share))) is not None]
            largest[one["bin"]] = max(largest.get(one["bin"], 0.0), *shares, 0.0)
    chosen = set(sorted(largest, key=lambda name: -largest[name])[:MOST_BARS])
    return [name for name in largest if name in chosen]


def _panel(label: str, title: str, bins: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Panel:
    by_name = {one["bin"]: one for one in bins}
    series = []
    for share in SHARES:
        values = [(place, _number(by_name[name].get(share))) for place, name in enumerate(names) if name in by_name]
        known = [(float(place), value) for place, value in values if value is not None]
        if known:
            series.append(Series(share, [x for x, _ in known], [y for _, y in known], "bars"))
    return Panel(label, title, "share of all", series, ticks=[str(name) for name in names])


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None
