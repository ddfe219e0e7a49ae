"""Predictions in a Parquet file or a folder of shards.

image_id or file_name, category_id or category, x1, y1, x2, y2 in pixels, score
"""

from pathlib import Path

import polars as pl

from hardmine.boxes import SIDES
from hardmine.errors import DataError
from hardmine.predictions.found import Found, make_found
from hardmine.reading import check_regular

__all__ = ["read", "scan"]

ALTERNATIVES = (("image_id", "file_name"), ("category_id", "category"))
"""Of each pair one is enough."""


def read(path: Path, box_format: str | None) -> Found:
    """All rows at once. Raises: DataError: as `scan`, or a row without one of the values."""
    try:
        table = scan(path).collect()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    for needed in (*(pl.coalesce(pair) for pair in ALTERNATIVES), *map(pl.col, (*SIDES, "score"))):
        gaps = table.select(needed.is_null().arg_true()).to_series()
        if len(gaps):
            raise DataError(f"{path}, row {gaps[0]}: a null among {needed.meta.root_names()}; expected a value")
    numbers = table.select((*SIDES, "score"))
    wrong = numbers.select(pl.any_horizontal(~pl.all().is_finite()).arg_true()).to_series()
    if len(wrong):
        raise DataError(f"{path}, row {wrong[0]}: a corner or score that is no number: {numbers.row(wrong[0])}")
    columns = {name: table[name] for pair in ALTERNATIVES for name in pair} | {"score": table["score"]}
    boxes = table.select(SIDES).to_numpy()
    return make_found(columns, boxes, box_format or "xyxy", str(path), lambda row: f"{path}, row {row}")


def scan(path: Path) -> pl.LazyFrame:
    """The rows, not read yet: image_id, file_name, category_id, category as text, x1, y1, x2, y2 and score.

    Raises: DataError: a file that is none, or lacks a column.
    """
    source: Path | list[Path] = sorted(path.glob("*.parquet")) if path.is_dir() else path
    for file in source if isinstance(source, list) else [source]:
        check_regular(file)
    try:
        table = pl.scan_parquet(source)
        schema = table.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    lacking = [" or ".join(pair) for pair in ALTERNATIVES if not set(pair) & set(schema)]
    lacking += [name for name in (*SIDES, "score") if name not in schema]
    if lacking:
        raise DataError(
            f"{path}: lacks {', '.join(lacking)}; expected image_id, category_id, {', '.join(SIDES)}, score"
        )
    names = [_key(name, schema) for pair in ALTERNATIVES for name in pair]
    return table.select(*names, *(pl.col(name).cast(pl.Float64) for name in (*SIDES, "score")))


def _key(name: str, schema: pl.Schema) -> pl.Expr:
    """A column of ids or names as text; whole numbers that are held as floats have no point."""
    if name not in schema:
        return pl.lit(None, pl.String).alias(name)
    column = pl.col(name)
    return (column.cast(pl.Int64) if schema[name].is_float() else column).cast(pl.String)
