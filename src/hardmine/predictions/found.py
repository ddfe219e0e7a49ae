"""Predictions as a tool wrote them: one table, whatever the form; nothing is known of the data set yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from hardmine.errors import ConfigError
from hardmine.tables.columns import SIDES

__all__ = ["BOX_FORMATS", "COLUMNS", "NUMBERS", "Found", "corner_columns", "make_rows", "to_corners"]

NUMBERS = ("box1", "box2", "box3", "box4")
COLUMNS: Mapping[str, Any] = {
    **dict.fromkeys(("image_id", "file_name", "category_id", "category"), pl.String),
    **dict.fromkeys((*NUMBERS, "score"), pl.Float64),
}
"""image_id, category_id: as `as_key` writes them.  category: the name of the class.  Null: the form does not say."""
BOX_FORMATS = ("xywh", "xyxy", "cxcywh", "xywhn", "xyxyn", "cxcywhn")
"""What the four numbers of a box are: x, y are its left upper corner, cx, cy its centre; n: fractions of the image."""


@dataclass(frozen=True, slots=True)
class Found:
    """rows: `COLUMNS`.  box_format: one of `BOX_FORMATS`.  where: says of a row which file and record it is."""

    rows: pl.DataFrame
    box_format: str
    source: str
    where: Callable[[int], str]

    def boxes(self) -> np.ndarray:
        """(P, 4) as written."""
        return self.rows.select(NUMBERS).to_numpy().astype(float)


def make_rows(
    columns: Mapping[str, Sequence[Any] | pl.Series], boxes: Sequence[Sequence[float]] | np.ndarray
) -> pl.DataFrame:
    """Columns and boxes (P, 4) as rows of `Found`. What is not among the columns is null."""
    corners = np.asarray(boxes, dtype=float).reshape(-1, 4)
    given = {**columns, **dict(zip(NUMBERS, corners.T, strict=True))}
    blank = [None] * len(corners)
    return pl.DataFrame({name: pl.Series(given.get(name, blank), dtype=kind) for name, kind in COLUMNS.items()})


def to_corners(boxes: np.ndarray, box_format: str, sizes: np.ndarray) -> np.ndarray:
    """Boxes (P, 4) in any format as xyxy in pixels. sizes: (P, 2), width and height of each one's image.

    Raises: ConfigError: no such format.
    """
    if box_format not in BOX_FORMATS:
        raise ConfigError(f"box format {box_format!r}: expected one of {', '.join(BOX_FORMATS)}")
    return np.stack(_corners(list(boxes.T), box_format, list(sizes.T)), axis=1)


def corner_columns(box_format: str) -> list[pl.Expr]:
    """The same of the columns `NUMBERS`, and for fractions width and height, as x1, y1, x2, y2."""
    corners = _corners([pl.col(name) for name in NUMBERS], box_format, [pl.col("width"), pl.col("height")])
    return [corner.alias(side) for corner, side in zip(corners, SIDES, strict=True)]


def _corners(numbers: list[Any], box_format: str, image: list[Any]) -> list[Any]:
    """x1, y1, x2, y2, given the four numbers of boxes and the sides of their images; of arrays and columns alike."""
    if box_format.endswith("n"):
        numbers = [number * side for number, side in zip(numbers, image * 2, strict=True)]
    first, last, form = numbers[:2], numbers[2:], box_format.removesuffix("n")
    if form == "cxcywh":
        first = [centre - side / 2 for centre, side in zip(first, last, strict=True)]
    if form != "xyxy":
        last = [start + side for start, side in zip(first, last, strict=True)]
    return [*first, *last]
