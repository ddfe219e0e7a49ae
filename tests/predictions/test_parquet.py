"""Predictions in Parquet: ids of any type, and rows that cannot be used."""

import polars as pl
import pytest

from hardmine.errors import DataError
from hardmine.predictions import parquet

ROW = {"image_id": 7, "category_id": 3, "x1": 0.0, "y1": 0.0, "x2": 4.0, "y2": 4.0, "score": 0.5}


def write(tmp_path, **changes):
    pl.DataFrame([ROW, ROW | changes], strict=False).write_parquet(tmp_path / "found.parquet")
    return tmp_path / "found.parquet"


@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int64, pl.UInt64, pl.Float64, pl.String])
def test_ids_of_every_type_are_the_same(tmp_path, dtype):
    file = tmp_path / "found.parquet"
    pl.DataFrame([ROW]).with_columns(pl.col("image_id", "category_id").cast(dtype)).write_parquet(file)
    assert parquet.read(file, None).rows.select("image_id", "category_id").rows() == [("7", "3")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": None}, "no image_id or file_name"),
        ({"category_id": None}, "no category_id or category"),
        ({"image_id": 7.5}, "no image_id or file_name"),
        ({"x1": None}, "corner or score that is no number"),
        ({"y2": float("nan")}, "corner or score that is no number"),
        ({"score": float("inf")}, "corner or score that is no number"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, change, message):
    with pytest.raises(DataError, match=rf"found\.parquet, record 1: {message}"):
        parquet.read(write(tmp_path, **change), None)


@pytest.mark.parametrize("name", ["x1", "score", "image_id", "category_id"])
def test_a_column_that_is_not_there_is_named(tmp_path, name):
    file = tmp_path / "found.parquet"
    pl.DataFrame([ROW]).drop(name).write_parquet(file)
    with pytest.raises(DataError, match=f"lacks {name}"):
        parquet.read(file, None)


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "found.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        parquet.read(tmp_path / "found.parquet", None)
