"""Columns are what they should be, or the file and the column are named; damaged files are one line."""

import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from hardmine.data.parquet import files_in, reading, refuse_rows, scan
from hardmine.errors import DataError

IMAGE = {"image_id": pl.Int64, "file_name": pl.String, "width": pl.Int64, "height": pl.Int64}
ONE = {"image_id": [7], "file_name": ["a.png"], "width": [64], "height": [48]}


def read(tmp_path, **columns):
    pl.DataFrame(ONE | columns).write_parquet(tmp_path / "a.parquet")
    return scan(tmp_path / "a.parquet", IMAGE).collect()


@pytest.mark.parametrize(
    "image_id",
    [
        pl.Series([7], dtype=pl.Int8),
        pl.Series([7], dtype=pl.UInt64),
        pl.Series([7.0]),
        pl.Series(["7"]),
        pl.Series([7], dtype=pl.Decimal(10, 2)),
    ],
)
def test_a_number_in_another_type_is_the_same_number(tmp_path, image_id):
    table = read(tmp_path, image_id=image_id)
    assert table["image_id"].to_list() == [7]
    assert dict(table.schema) == IMAGE


@pytest.mark.parametrize("image_id", [7.5, float("nan"), float("inf"), 2.0**53, None])
def test_a_number_that_is_not_exact_is_none(tmp_path, image_id):
    assert read(tmp_path, image_id=pl.Series([image_id], dtype=pl.Float64))["image_id"].to_list() == [None]


@pytest.mark.parametrize(
    "image_id",
    [
        pl.Series([date(2020, 1, 1)]),
        pl.Series([[7]]),
        pl.Series([{"id": 7}]),
        pl.Series([b"7"]),
        pl.Series([True]),
        pl.Series(["7"], dtype=pl.Categorical),
    ],
)
def test_a_type_that_means_something_else_is_refused(tmp_path, image_id):
    with pytest.raises(DataError, match=r"a\.parquet: column image_id is .*; expected Int64"):
        read(tmp_path, image_id=image_id)


@pytest.mark.parametrize("image_id", [pl.Series([2**63], dtype=pl.UInt64), pl.Series(["a7"])])
def test_an_id_that_does_not_fit_is_refused_when_it_is_read(tmp_path, image_id):
    refused = pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet \(conversion from .* failed")
    with refused, reading(tmp_path / "a.parquet"):
        read(tmp_path, image_id=image_id)


@pytest.mark.parametrize("name", [pl.Series(["a"], dtype=pl.Categorical), pl.Series(["a"], dtype=pl.Enum(["a"]))])
def test_texts_in_another_type_are_the_same_text(tmp_path, name):
    assert read(tmp_path, file_name=name)["file_name"].to_list() == ["a"]


def test_a_folder_is_read_by_name_whatever_it_is_called(tmp_path):
    folder = tmp_path / "data[1]*"
    folder.mkdir()
    for number in (2, 1):
        pl.DataFrame(ONE | {"image_id": [number]}).write_parquet(folder / f"{number}.parquet")
    (folder / "plan.json").write_text("{}")
    assert files_in(folder) == [folder / "1.parquet", folder / "2.parquet"]
    assert scan(folder, IMAGE).collect()["image_id"].to_list() == [1, 2]


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no file \*\.parquet in it"):
        files_in(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    for source in (tmp_path, tmp_path / "a.parquet"):
        with pytest.raises(DataError, match=r"a\.parquet: it is a pipe"):
            scan(source, IMAGE)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9], lambda data: b"PAR1" + data[400:], None])
def test_a_damaged_file_is_one_line(tmp_path, damage):
    file = tmp_path / "a.parquet"
    pl.DataFrame({name: values * 1000 for name, values in ONE.items()}).write_parquet(file)
    data = file.read_bytes()
    file.write_bytes(damage(data) if damage else data[:60] + bytes(60) + data[120:])
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet") as error, reading(file):
        scan(file, IMAGE).collect()
    assert "\n" not in str(error.value)


def test_a_panic_of_the_reader_is_one_line_too():
    with pytest.raises(DataError, match="a: cannot be read as Parquet"), reading(Path("a")):
        raise pl.exceptions.PanicException("index out of bounds")


def test_a_row_is_named_by_its_number_and_what_it_holds():
    table = pl.DataFrame({"row": [4, 5, 6], "a": [1, None, -1]})
    refuse_rows(table, {"below -1": pl.col("a").fill_null(0) < -1}, "t", "row")
    with pytest.raises(DataError, match=r"^t, record 5: below 0: \{'a': None\}$"):
        refuse_rows(table, {"below 0": pl.col("a") < 0}, "t", "row")
