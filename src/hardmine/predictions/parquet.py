"""Predictions in a Parquet file or a folder of shards.

image_id or file_name, category_id or category, x1, y1, x2, y2 in pixels, score
"""

from pathlib import Path

import polars as pl

from hardmine.data.parquet import reading, refuse_rows, scan, schema_of
from hardmine.errors import DataError
from hardmine.predictions.found import NUMBERS as BOX, Found, make_rows
from hardmine.tables.columns import SIDES

__all__ = ["found_in", "read", "scan_found"]

NAMES = (("image_id", "file_name"), ("category_id", "category"))
"""Of each pair one is enough."""
NUMBERS: dict[str, type[pl.DataType]] = dict.fromkeys((*SIDES, "score"), pl.Float64)


def read(path: Path, box_format: str | None, *, classes: bool = True) -> Found:
    """All rows at once. Raises: DataError: as `scan_found`, or a row without one of the values."""
    with reading(path):
        table = scan_found(path, classes=classes).collect()
    wrong = {
        **{f"no {' or '.join(pair)}": pl.all_horizontal(map(_is_null, pair)) for pair in _named(classes)},
        "corner or score that is no number": ~pl.all_horizontal(pl.col(name).is_finite() for name in NUMBERS),
    }
    refuse_rows(table, wrong, str(path), "prediction")
    return found_in(table.rename(dict(zip(SIDES, BOX, strict=True))), path, box_format or "xyxy")


def found_in(table: pl.DataFrame, path: Path, box_format: str) -> Found:
    """Rows that can be used: prediction, `NAMES`, the four numbers of a box, score."""
    columns = {name: table[name].cast(pl.String) for pair in NAMES for name in pair} | {"score": table["score"]}
    number = table["prediction"]
    rows = make_rows(columns, table.select(BOX).to_numpy())
    return Found(rows, box_format, str(path), lambda row: f"{path}, record {number[row]}")


def scan_found(path: Path, image_ids: type[pl.DataType] = pl.String, *, classes: bool = True) -> pl.LazyFrame:
    """The rows, not read yet: prediction (number, from 0), the `NAMES` as text (null: not there), `NUMBERS`.

    Args: image_ids: the type of these, where they are known to be whole numbers: that is cheaper.
        classes: False: they may be absent, as those of proposals are.
    Raises: DataError: a file that is none, lacks a column, or has one of a type that means something else.
    """
    has = schema_of(path)
    lacking = [" or ".join(pair) for pair in _named(classes) if not set(pair) & set(has)]
    lacking += [name for name in NUMBERS if name not in has]
    if lacking:
        raise DataError(f"{path}: lacks {', '.join(lacking)}; expected image_id, category_id, {', '.join(NUMBERS)}")
    names = {name: pl.String for pair in NAMES for name in pair} | {"image_id": image_ids}
    table = scan(path, NUMBERS, optional=names)
    absent = [pl.lit(None, kind).alias(name) for name, kind in names.items() if name not in has]
    return table.with_columns(absent).select(*names, *NUMBERS).with_row_index("prediction")


def _named(classes: bool) -> tuple[tuple[str, str], ...]:
    """What every row has to name."""
    return NAMES if classes else NAMES[:1]


def _is_null(name: str) -> pl.Expr:
    return pl.col(name).is_null()
