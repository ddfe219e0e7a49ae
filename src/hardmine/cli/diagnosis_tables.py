"""What `diagnose` prints: shares of samples and gradient, recipe beside recipe."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hardmine.cli.layout import Column, Table, table_of

if TYPE_CHECKING:
    from hardmine.diagnosis import Inspection

__all__ = ["shares_table"]

MOST_RECIPES = 3
"""As many have a column of 80; the others are in the files."""
MOST_CLASSES = 5
CLASSLESS = {"object_size"}
"""A table of detectors, whose last class is the background; of pixels it is a class like the others."""
SHOWN = {
    "kind": "all:",
    "score": "score",
    "iou": "IoU",
    "object_size": "object:",
    "class": "class",
    "contour_distance": "contour at",
    "level": "",
}


def shares_table(found: "Inspection") -> Table:
    """Of the head that detects: of each bin its samples and its share of the gradient under each recipe."""
    names = list(found.recipes)[:MOST_RECIPES]
    of_recipes = [found.recipes[name][found.final_head].tables for name in names]
    columns = [Column(title, "number") for title in ("number", "samples", *(f"gradient: {name}" for name in names))]
    rows = [
        (f"{title} {cells[0]}".strip(), *cells[1:])
        for name, title in SHOWN.items()
        if name in of_recipes[0]
        for cells in _cells(name, [tables[name] for tables in of_recipes], len(CLASSLESS & of_recipes[0].keys()))
    ]
    return table_of("which", *columns, rows=rows)


def _cells(name: str, tables: Sequence[Sequence[Mapping[str, Any]]], num_last: int) -> Iterator[tuple[str, ...]]:
    """Of each bin that has samples; of classes those with most gradient, and what is of none, the last so many."""
    rows = [of for of in zip(*tables, strict=True) if of[0]["count"]]
    if name == "class" and len(rows) > MOST_CLASSES + num_last:
        classes, others = rows[: len(rows) - num_last], rows[len(rows) - num_last :]
        rows = [*sorted(classes, key=lambda of: -of[0]["gradient"])[:MOST_CLASSES], *others]
    for row in rows:
        shares = (row[0]["samples"], *(of["gradient"] for of in row))
        yield row[0]["bin"], f"{row[0]['count']:,}", *(f"{100 * share:.1f} %" for share in shares)
