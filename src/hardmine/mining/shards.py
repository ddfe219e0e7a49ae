"""Mining more than memory holds: a part of the images at a time, from Parquet to Parquet.

    labels, predictions  -> parts by a hash of the image id -> each mined as ever -> OUT/*.parquet -> what is listed

Parts are random samples of the images, so what errors look like is learnt from the first and used for all. They are
kept beside OUT until all is done: what was stopped goes on at the next part. Polars reads and ranks out of core.
"""

import json
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hardmine.boxes import SIDES
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.mining.calibration import Calibration
from hardmine.mining.folder import refuse_existing, write_lists
from hardmine.mining.label_tools import CVAT_NAMES, check_cvat_names
from hardmine.mining.labels import Labels, detections_in, objects_in
from hardmine.mining.results import refuse_unusable
from hardmine.mining.tables import TABLES, image_weight, mine_tables
from hardmine.training.files import write_json

__all__ = ["LabelFiles", "label_files", "mine_shards"]

logger = logging.getLogger("hardmine")

BYTES_A_ROW = 1500
"""Memory that an object or a prediction takes while its part is mined, at most."""
LEAST_MEMORY = 0.75
"""GiB that are taken before the first row is read."""
MOST_LISTED = 10_000
"""Hard ones and suspects in the COCO files where no number is asked for; the tables hold all."""
LABEL = {"image_id": pl.Int64, "category_id": pl.Int64, **dict.fromkeys(SIDES, pl.Float64)}
CATEGORY = {"category_id": pl.Int64, "category": pl.String}
IMAGE = {"image_id": pl.Int64, "file_name": pl.String, "width": pl.Int64, "height": pl.Int64}
RESULT = {"image_id": pl.Int64, "category_id": pl.Int64, **dict.fromkeys((*SIDES, "score"), pl.Float64)}


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """`Labels` that are not in memory."""

    images: pl.LazyFrame
    objects: pl.LazyFrame
    categories: Mapping[int, str]
    folder: Path | None

    @classmethod
    def of(cls, labels: Labels) -> "LabelFiles":
        """Labels that are in memory, for predictions that are not."""
        return cls(labels.images.lazy(), labels.objects.lazy(), labels.categories, labels.folder)


def label_files(folder: Path, images: Path | None = None) -> LabelFiles:
    """The labels in a folder of three tables, as a mined folder has them; `images` is the folder of the images.

    `images.parquet`: image_id, file_name, width, height.  `categories.parquet`: category_id, category.
    `objects.parquet`: image_id, category_id, x1, y1, x2, y2, and perhaps is_crowd.

    Raises: DataError: they cannot be read.
    """
    image_table = _scan(folder / "images.parquet", IMAGE)
    objects = _scan(folder / "objects.parquet", LABEL, optional={"is_crowd": pl.Boolean})
    if "is_crowd" not in objects.collect_schema():
        objects = objects.with_columns(is_crowd=pl.lit(False))
    names = dict(_scan(folder / "categories.parquet", CATEGORY).collect().iter_rows())
    category = pl.col("category_id").replace_strict(names, default=None, return_dtype=pl.String)
    numbered = objects.with_row_index("object")
    objects = numbered.select("object", "image_id", "category_id", category.alias("category"), *SIDES, "is_crowd")
    return LabelFiles(image_table, objects, names, images and images.resolve())


def mine_shards(
    labels: LabelFiles,
    predictions: Path | str,
    out: Path | str,
    memory: float = 2.0,
    top: int | None = None,
    *,
    cvat_names: str = CVAT_NAMES,
) -> None:
    """Mines predictions in a Parquet file, or a folder of such, and writes what `write_mined` does; rows come by part.

    Args: predictions: image_id, category_id, x1, y1, x2, y2 in pixels and score from 0 to 1.
        memory: GiB to stay below.  top: hard ones and suspects in the COCO files; None: at most 10,000.
        cvat_names: as `write_mined` takes it.
    Raises: ConfigError: too little memory, or no such names.  DataError: predictions that do not fit the labels; the
        message says where.  RunError: `out` exists, or cannot be written.
    """
    source, out = Path(predictions), Path(out)
    refuse_existing(out)
    check_cvat_names(cvat_names)
    results = _scan(source / "*.parquet" if source.is_dir() else source, RESULT).with_row_index("prediction")
    rows = [table.select(pl.len()).collect().item() for table in (results, labels.objects)]
    if not rows[0]:
        raise DataError(f"{source}: no prediction in it; expected at least one, so that there is something to mine")
    num_parts = _num_parts(sum(rows), memory)
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        _start(unfinished, {"files": _files(source), "rows": rows, "parts": num_parts})
        _mine_parts(labels, results, source, unfinished, num_parts)
        _finish(unfinished, labels, source, top or MOST_LISTED, num_parts, cvat_names)
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished.replace(out)
    except OSError as error:
        raise RunError(f"cannot write {out} ({error.strerror or error}); make room, and start again") from error


def _num_parts(rows: int, memory: float) -> int:
    if memory <= LEAST_MEMORY:
        raise ConfigError(f"memory must be above {LEAST_MEMORY} GiB, got {memory:g}")
    return math.ceil(rows * BYTES_A_ROW / ((memory - LEAST_MEMORY) * 2**30))


def _files(source: Path) -> list[list[str | int]]:
    """Name, size and time of the files with predictions: of others, or of these once they have changed, they differ."""
    files = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    return [[str(file), (facts := file.stat()).st_size, facts.st_mtime_ns] for file in files]


def _start(folder: Path, plan: dict[str, object]) -> None:
    """Makes the folder for parts, or checks that what is there are parts of the same."""
    file = folder / "plan.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, plan)
    elif json.loads(file.read_text(encoding="utf-8")) != plan:
        raise RunError(f"{folder} holds parts of another mining; delete it, or choose another --out")


def _mine_parts(labels: LabelFiles, results: pl.LazyFrame, source: Path, folder: Path, num_parts: int) -> None:
    calibration = None
    for number in range(num_parts):
        logger.info("part %d of %d", number + 1, num_parts)
        done = folder / f"part{number:05}"
        if done.exists() and number:
            continue
        of_part = _part(labels, number, num_parts)
        _refuse_homeless(of_part)
        found = _checked(_take(results, number, num_parts), of_part, source)
        if calibration is None:
            calibration = Calibration.fit(objects_in(of_part.objects), detections_in(found), of_part.image_sizes())
        if not done.exists():
            _write_part(done, of_part, found, calibration)


def _write_part(done: Path, labels: Labels, found: pl.DataFrame, calibration: Calibration) -> None:
    """Writes the tables of a part under another name first: a part that has its name is whole."""
    tables = mine_tables(labels, found, calibration)
    unfinished = done.with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    for name in TABLES:
        getattr(tables, name).write_parquet(unfinished / f"{name}.parquet")
    unfinished.replace(done)


def _part(labels: LabelFiles, number: int, num_parts: int) -> Labels:
    images, objects = (_take(table, number, num_parts) for table in (labels.images, labels.objects))
    return Labels(images, objects, labels.categories, labels.folder)


def _refuse_homeless(labels: Labels) -> None:
    """Raises: DataError: an object of an image or a class that there is not."""
    homeless = labels.objects.join(labels.images, on="image_id", how="anti")
    nameless = labels.objects.filter(pl.col("category").is_null())
    for lost, key, table in ((homeless, "image_id", "images"), (nameless, "category_id", "categories")):
        if len(lost):
            raise DataError(f"objects.parquet: {key} {lost[key][0]} is not in {table}.parquet; expected it there")


def _take(table: pl.LazyFrame, number: int, num_parts: int) -> pl.DataFrame:
    """The rows whose image falls into a part."""
    mixed = (
        (pl.col("image_id") * 2_654_435_761) % 4_294_967_296 // 65_536
    )  # Knuth's multiplicative hash, the upper half
    return table.filter(mixed % num_parts == number).collect(engine="streaming")


def _checked(found: pl.DataFrame, labels: Labels, source: Path) -> pl.DataFrame:
    """The results of a part with the names of their classes.

    Raises: DataError: one of an image or class that the labels do not have, one twice, or numbers that are none.
    """
    known = {
        "image_id": labels.images["image_id"].implode(),
        "category_id": pl.Series(list(labels.categories)).implode(),
    }
    numbers = pl.all_horizontal(pl.col(name).is_finite() for name in (*SIDES, "score"))
    wrong = {
        **{f"{name} that the labels do not have": ~pl.col(name).is_in(ids) for name, ids in known.items()},
        "corner or score that is no number": ~numbers.fill_null(False),
        "right or lower side before the left or upper": (pl.col("x2") < pl.col("x1")) | (pl.col("y2") < pl.col("y1")),
    }
    for what, condition in wrong.items():
        rows = found.filter(condition.fill_null(True))
        if len(rows):
            record = rows.select("prediction", *RESULT).row(0, named=True)
            raise DataError(f"{source}, record {record.pop('prediction')}: {what}: {record}")
    refuse_unusable(found, str(source))
    names = pl.col("category_id").replace_strict(dict(labels.categories), return_dtype=pl.String)
    return found.with_columns(names.alias("category"))


def _finish(folder: Path, labels: LabelFiles, source: Path, top: int, num_parts: int, cvat_names: str) -> None:
    """Joins the parts, and lists what is hardest; the parts go."""
    parts = [folder / f"part{number:05}" for number in range(num_parts)]
    for name in TABLES:
        table = pl.scan_parquet([part / f"{name}.parquet" for part in parts])
        if name == "images":
            table = table.with_columns(image_weight())
        table.sink_parquet(folder / f"{name}.parquet")
    write_lists(folder, labels.categories, labels.folder, source.name, top, cvat_names)
    for part in parts:
        shutil.rmtree(part)
    (folder / "plan.json").unlink()


def _scan(
    source: Path, columns: Mapping[str, type[pl.DataType]], optional: Mapping[str, type[pl.DataType]] | None = None
) -> pl.LazyFrame:
    """The columns of Parquet files, cast to what they should be."""
    try:
        table = pl.scan_parquet(source)
        has = table.collect_schema()
        if lacking := [name for name in columns if name not in has]:
            raise DataError(f"{source}: lacks {', '.join(lacking)}; expected {', '.join(columns)}")
        wanted = dict(columns) | {name: kind for name, kind in (optional or {}).items() if name in has}
        return table.select(pl.col(name).cast(kind) for name, kind in wanted.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{source}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
