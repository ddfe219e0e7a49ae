"""Parquet files that others wrote: columns of the types that we need, rows that can be used.

Nothing is read before it is asked for, so what is wrong with a row is found when its part of the images is collected.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from hardmine.errors import DataError, what_failed
from hardmine.files.reading import check_regular

__all__ = ["facts_of", "files_in", "reading", "refuse_rows", "scan", "schema_of"]

Columns = Mapping[str, type[pl.DataType]]

PARQUET = "*.parquet"
EXACT_IN_A_FLOAT = 2**53
UNREADABLE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)  # Polars panics at some damaged pages


def files_in(source: Path) -> list[Path]:
    """The Parquet file, or those in the folder, by name.

    Raises: DataError: there is none, or one is no regular file.
    """
    files = sorted(source.glob(PARQUET)) if source.is_dir() else [source]
    if not files:
        raise DataError(f"{source}: no file {PARQUET} in it; expected at least one")
    for file in files:
        check_regular(file)
    return files


def facts_of(files: Sequence[Path]) -> list[list[str | int]]:
    """Name, size and time of each file: of others, or of these once they have changed, they differ."""
    return [[str(file), (facts := file.stat()).st_size, facts.st_mtime_ns] for file in files]


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Raises: DataError: what is done inside meets a file that cannot be read."""
    try:
        yield
    except UNREADABLE as error:
        reason = what_failed(error) if isinstance(error, Exception) else str(error)
        raise DataError(f"{source}: cannot be read as Parquet ({reason}); write it again") from error


def scan(source: Path, columns: Columns, optional: Columns | None = None) -> pl.LazyFrame:
    """The columns of a Parquet file, or of all files of a folder, cast to what they should be.

    A number that should be whole and is not becomes null, for `refuse_rows`; a whole number as text has no point.

    Raises: DataError: it cannot be read, or lacks a column, or has one of a type that means something else.
    """
    has = schema_of(source)
    if lacking := [name for name in columns if name not in has]:
        raise DataError(f"{source}: lacks {', '.join(lacking)}; expected {', '.join(columns)}")
    wanted = dict(columns) | {name: kind for name, kind in (optional or {}).items() if name in has}
    table = pl.scan_parquet(files_in(source), glob=False)
    return table.select(_cast(source, name, has[name], kind) for name, kind in wanted.items())


def schema_of(source: Path) -> pl.Schema:
    """The columns of a Parquet file, or of the files of a folder, and their types.

    Raises: DataError: it cannot be read.
    """
    files = files_in(source)
    with reading(source):
        return pl.scan_parquet(files, glob=False).collect_schema()


def _cast(source: Path, name: str, dtype: pl.DataType, kind: type[pl.DataType]) -> pl.Expr:
    column = pl.col(name)
    if not _can_mean(dtype, kind):
        raise DataError(f"{source}: column {name} is {dtype}; expected {kind.__name__}; write it so")
    if kind != pl.Float64 and dtype.is_numeric() and not dtype.is_integer():
        is_exact = (column == column.floor()) & (column.abs() < EXACT_IN_A_FLOAT)
        column = pl.when(is_exact).then(column).cast(pl.Int64)
    return column.cast(kind)


def _can_mean(dtype: pl.DataType, kind: type[pl.DataType]) -> bool:
    if kind == pl.Boolean:
        return dtype.is_integer() or dtype in (pl.Boolean, pl.Null)
    texts = (pl.String, pl.Null, *((pl.Categorical, pl.Enum) if kind == pl.String else ()))
    return dtype.is_numeric() or dtype in texts


def refuse_rows(table: pl.DataFrame, wrong: Mapping[str, pl.Expr], source: str, number: str) -> None:
    """Raises: DataError: a row of which something in `wrong` is true or null.

    Args: number: the column that counts the rows of the source.
    """
    for what, condition in wrong.items():
        rows = table.filter(condition.fill_null(True))
        if len(rows):
            record = rows.row(0, named=True)
            raise DataError(f"{source}, record {record.pop(number)}: {what}: {record}")
