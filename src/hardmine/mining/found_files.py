"""Predictions that need not fit into memory: Parquet as it is, and COCO results, which are written as Parquet first.

.OUT.found/000000.parquet   the rows of a piece of the JSON text
.OUT.found/plan.json        of which file they all are; it is written last
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hardmine.data.parquet import facts_of, files_in, reading, schema_of
from hardmine.errors import ConfigError, DataError
from hardmine.files.reading import check_regular, read_text
from hardmine.files.writing import write_json
from hardmine.predictions import Confirmed, holds_parquet, results_in_parts, scan_found
from hardmine.predictions.found import NUMBERS
from hardmine.tables.columns import SIDES

__all__ = ["FoundFiles", "may_exceed"]

SMALLEST = 57
"""Bytes of a record in JSON: {"image_id":1,"category_id":1,"bbox":[0,0,0,0],"score":0}"""
UNPACKED = 10
"""How many times as large JSON of numbers is without gzip, about."""


def may_exceed(source: Path, rows: int) -> bool:
    """Whether it is a file of COCO results that is large enough for more than so many rows."""
    if not source.is_file() or holds_parquet(source):
        return False
    size = source.stat().st_size * (UNPACKED if source.suffix == ".gz" else 1)
    return size > rows * SMALLEST and results_in_parts(source) is not None


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """source: where they come from, for messages.  path: a Parquet file, or a folder of such.  facts: what tells them
    from others, and from themselves once changed.  box_format: of the four numbers of a box.
    """

    source: Path
    path: Path
    facts: list[list[str | int]]
    box_format: str

    @classmethod
    def of_parquet(cls, source: Path, confirmed: Confirmed) -> "FoundFiles":
        """Raises: ConfigError: boxes that are to be something else than corners in pixels.  DataError: no file."""
        if confirmed.box_format not in (None, "xyxy"):
            raise ConfigError(
                f"{source} has the corners x1, y1, x2, y2 in pixels, and cannot be {confirmed.box_format}"
            )
        return cls(source, source, facts_of(files_in(source)), "xyxy")

    @classmethod
    def of_json(cls, source: Path, folder: Path, confirmed: Confirmed) -> "FoundFiles":
        """COCO results, of which a piece at a time is in memory; they are written into the folder once.

        Raises: DataError: another form, or a record that is none.
        """
        check_regular(source)
        facts, box_format = facts_of([source]), confirmed.box_format or "xywh"
        plan = {"results": facts, "box_format": box_format}
        if _plan_in(folder) != plan:
            _write(source, folder, box_format)
            write_json(folder / "plan.json", plan)
        return cls(source, folder, facts, box_format)

    @property
    def is_converted(self) -> bool:
        return self.path != self.source

    def scan(self, image_ids: type[pl.DataType] = pl.String) -> pl.LazyFrame:
        """prediction (number, from 0), image_id, file_name, category_id, category, `NUMBERS`, score; not read yet.

        Args: image_ids: the type of these; whole numbers only where `has_whole_ids`.
        """
        if self.is_converted:
            return pl.scan_parquet(files_in(self.path), glob=False).with_row_index("prediction")
        return scan_found(self.path, image_ids).rename(dict(zip(SIDES, NUMBERS, strict=True)))

    def has_whole_ids(self) -> bool:
        """Whether images are called by whole numbers and nothing else, by their type."""
        has = schema_of(self.path)
        return "file_name" not in has and "image_id" in has and has["image_id"].is_numeric()

    def has_names(self) -> bool:
        """Whether images are called by name."""
        if not self.is_converted:
            return "file_name" in schema_of(self.path)
        with reading(self.path):
            return self.scan().select(pl.col("file_name").is_not_null().any()).collect().item()


def _write(source: Path, folder: Path, box_format: str) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    parts = results_in_parts(source, box_format)
    if parts is None:
        raise DataError(f"{source}: expected COCO results or Parquet; other forms are not mined by parts")
    folder.mkdir(parents=True)
    for number, rows in enumerate(parts):
        rows.write_parquet(folder / f"{number:06}.parquet")


def _plan_in(folder: Path) -> Mapping[str, object] | None:
    try:
        return json.loads(read_text(folder / "plan.json"))
    except (DataError, ValueError, RecursionError):
        return None
