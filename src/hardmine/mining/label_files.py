"""Labels in Parquet, and labels in memory used as if they were: for predictions that do not fit into memory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from hardmine.data import DetectionDataset
from hardmine.data.parquet import facts_of, reading, refuse_rows, scan
from hardmine.mining.labels import Labels
from hardmine.tables.columns import SIDES

__all__ = ["IMAGE", "MARKS", "LabelFiles", "label_files"]

LABEL = {"image_id": pl.Int64, "category_id": pl.Int64, **dict.fromkeys(SIDES, pl.Float64)}
CATEGORY = {"category_id": pl.Int64, "category": pl.String}
IMAGE = {"image_id": pl.Int64, "file_name": pl.String, "width": pl.Int64, "height": pl.Int64}
MARKS = ("is_crowd", "is_duplicate")
"""What a label may be beside an object; none is where there is no such column."""


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """`Labels` that are not in memory.

    source: where they come from, for messages.  facts: what tells them from others, and from themselves once changed.
    dataset: the data set that they are of, which knows its images and classes by other names; None: there is none.
    """

    images: pl.LazyFrame
    objects: pl.LazyFrame
    categories: Mapping[int, str]
    folder: Path | None
    source: Path
    facts: Sequence[Sequence[str | int]]
    dataset: DetectionDataset | None = None
    origin: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, labels: Labels, dataset: DetectionDataset | None = None) -> "LabelFiles":
        """Labels that are in memory, for predictions that are not."""
        content = sha256(json.dumps(list(labels.categories.items())).encode())
        for table in (labels.images, labels.objects):
            content.update(table.hash_rows().to_numpy().tobytes())
        facts = [[content.hexdigest()]]
        source = Path("the data set")
        tables = labels.images.lazy(), labels.objects.lazy()
        return cls(*tables, labels.categories, labels.folder, source, facts, dataset, labels.origin)


def label_files(folder: Path, images: Path | None = None) -> LabelFiles:
    """The labels in a folder of three tables, as a mined folder has them; `images` is the folder of the images.

    `images.parquet`: image_id, file_name, width, height.  `categories.parquet`: category_id, category.
    `objects.parquet`: image_id, category_id, x1, y1, x2, y2, and perhaps is_crowd and
    is_duplicate; a crowd may be of no class.

    Raises: DataError: they cannot be read.
    """
    files = [folder / f"{name}.parquet" for name in ("images", "objects", "categories")]
    image_table, objects = scan(files[0], IMAGE), scan(files[1], LABEL, optional=dict.fromkeys(MARKS, pl.Boolean))
    absent = [name for name in MARKS if name not in objects.collect_schema()]
    objects = objects.with_columns(pl.lit(False).alias(name) for name in absent)
    names = _class_names(files[2])
    category = pl.col("category_id").replace_strict(names, default=None, return_dtype=pl.String)
    numbered = objects.with_row_index("object")
    objects = numbered.select("object", "image_id", "category_id", category.alias("category"), *SIDES, *MARKS)
    return LabelFiles(image_table, objects, names, images and images.resolve(), folder, facts_of(files))


def _class_names(file: Path) -> dict[int, str]:
    with reading(file):
        table = scan(file, CATEGORY).with_row_index("row").collect()
    nothing = pl.any_horizontal(pl.all().is_null())
    refuse_rows(table, {"no id or name": nothing, "id twice": pl.col("category_id").is_duplicated()}, str(file), "row")
    return dict(table.select(*CATEGORY).iter_rows())
