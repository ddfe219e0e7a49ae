"""What a look into a detector has found, and the folder that it is written to.

diagnosis.json      everything, see docs/diagnosis.md
tables.csv          the tables as rows of recipe, head, table, bin, measure, value: for DuckDB, Polars, a spreadsheet
tables.parquet      the same
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from hardmine.diagnosis.head_tables import HeadTables
from hardmine.diagnosis.sentences import Sentence, sentences_of
from hardmine.errors import RunError, what_failed
from hardmine.files.writing import is_taken, write_atomically, write_json

if TYPE_CHECKING:
    from hardmine.diagnosis.held_back import Diagnosis

__all__ = ["Inspection", "long_table", "refuse_taken", "write_inspection"]

FINAL_HEADS = ("dense", "roi", "detect", "one2one", "last", "pixels")


@dataclass(frozen=True, slots=True)
class Inspection:
    """Tables of every head under every recipe, on the same weights and images, and what they say in sentences.

    run: its folder, where it is one.  recipes: of each, by its heads.  final_head: whose scores are the detections'.
    held_back: of a finished run: what is wrong with its predictions.
    """

    detector: str
    run: str | None
    data: str
    split: str
    num_images: int
    recipes: Mapping[str, Mapping[str, HeadTables]]
    final_head: str
    held_back: "Diagnosis | None"
    sentences: tuple[Sentence, ...]

    @classmethod
    def of(
        cls,
        detector: str,
        recipes: Mapping[str, Mapping[str, HeadTables]],
        *,
        data: str,
        split: str,
        num_images: int,
        run: str | None = None,
        held_back: "Diagnosis | None" = None,
    ) -> "Inspection":
        """With the sentences that the tables speak for."""
        heads = next(iter(recipes.values()))
        final = next((name for name in FINAL_HEADS if name in heads), list(heads)[-1])
        said = sentences_of(recipes, final, held_back)
        return cls(detector, run, data, split, num_images, recipes, final, held_back, tuple(said))

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return {
            "detector": self.detector,
            "run": self.run,
            "data": self.data,
            "split": self.split,
            "num_images": self.num_images,
            "final_head": self.final_head,
            "recipes": {
                name: {"heads": {head: of.to_dict() for head, of in heads.items()}}
                for name, heads in self.recipes.items()
            },
            "held_back": None if self.held_back is None else self.held_back.to_dict(),
            "sentences": [sentence.to_dict() for sentence in self.sentences],
        }

    def __str__(self) -> str:
        return "\n".join(sentence.text for sentence in self.sentences)


def write_inspection(inspection: Inspection, folder: Path) -> Path:
    """Writes everything into a new folder. Raises: RunError: something is there already, or it cannot be written."""
    refuse_taken(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {folder}: {what_failed(error)}") from error
    write_json(folder / "diagnosis.json", inspection.to_dict())
    table, stream = long_table(inspection), BytesIO()
    table.write_parquet(stream)
    write_atomically(folder / "tables.parquet", stream.getvalue())
    write_atomically(folder / "tables.csv", table.write_csv().encode())
    return folder


def refuse_taken(folder: Path) -> None:
    """Raises: RunError: there is something in the folder."""
    if is_taken(folder):
        raise RunError(f"{folder} exists already; choose another folder for --out, or delete it")


def long_table(inspection: Inspection) -> pl.DataFrame:
    """A row for each number of each table, and of the totals: recipe, head, table, place, bin, measure, value."""
    columns = ("recipe", "head", "table", "place", "bin", "measure", "value")
    rows = [*_long_rows(inspection)]
    return pl.DataFrame(
        rows,
        schema=dict(zip(columns, (*[pl.String] * 3, pl.Int64, *[pl.String] * 2, pl.Float64), strict=True)),
        orient="row",
    )


def _long_rows(inspection: Inspection) -> Iterator[Sequence[Any]]:
    for recipe, heads in inspection.recipes.items():
        for head, of in heads.items():
            for table, rows in of.tables.items():
                for place, row in enumerate(rows):
                    for measure, value in row.items():
                        if measure != "bin":
                            yield recipe, head, table, place, row["bin"], measure, value
            for name, value in of.totals.items():
                yield recipe, head, "totals", 0, "all", name, float(value)
