"""Mining more than memory holds: a part of the images at a time, from Parquet, or JSON made Parquet, to Parquet.

    labels, predictions  -> parts by a hash of the image id -> each mined as ever -> OUT/*.parquet -> what is listed

Parts are random samples of the images, so what errors look like is learnt from the first and used for all. They are
kept beside OUT until all is done: what was stopped goes on at the next part. Polars reads and ranks out of core.

.OUT.unfinished/plan.json       what is mined: parts of anything else are not mixed in
.OUT.unfinished/part00000       the tables of a part; one that has its name is whole
.OUT.unfinished/joined          what becomes OUT, in one step
.OUT.unfinished/published.json  the plan from just before that step on: parts may go
.OUT.found                      predictions in JSON as Parquet, see `found_files`
"""

import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from hardmine.data.parquet import reading, refuse_rows
from hardmine.errors import ConfigError, DataError, RunError, what_failed
from hardmine.files.reading import read_text
from hardmine.files.versions import version_of
from hardmine.files.writing import is_taken, write_json
from hardmine.mining.calibration import Calibration
from hardmine.mining.folder import refuse_existing, write_made_of_tables
from hardmine.mining.found_files import FoundFiles
from hardmine.mining.label_files import IMAGE, MARKS, LabelFiles
from hardmine.mining.label_tools import CVAT_NAMES, check_cvat_names
from hardmine.mining.labels import Labels, detections_in, objects_in
from hardmine.mining.results import IS_NO_PROBABILITY, refuse_no_probability, scores_in_range
from hardmine.mining.shard_results import check_sample, open_results
from hardmine.mining.tables import TABLES, image_weight, mine_tables
from hardmine.predictions import Confirmed, holds_parquet
from hardmine.tables.columns import SIDES

__all__ = ["mine_shards", "most_rows"]

logger = logging.getLogger("hardmine")

BYTES_A_ROW = 1500
"""Memory that an object or a prediction takes while its part is mined, at most."""
LEAST_MEMORY = 0.75
"""GiB that are taken before the first row is read."""
MOST_PARTS = 10_000
"""With more the folders of the parts would cost more than the rows in them."""
MOST_ROWS = 2**31 - 1
"""That Polars lists at once; who asks for more gets so many."""
MOST_LISTED = 10_000
"""Hard ones and suspects in the COCO files where no number is asked for; the tables hold all."""
COUNTED = ("images", "objects", "predictions")
NO_BOX = {
    "corner that is no number": ~pl.all_horizontal(pl.col(name).is_finite() for name in SIDES),
    "right or lower side before the left or upper": (pl.col("x2") < pl.col("x1")) | (pl.col("y2") < pl.col("y1")),
}


def mine_shards(
    labels: LabelFiles,
    predictions: Path | str,
    out: Path | str,
    memory: float = 2.0,
    top: int | None = None,
    *,
    cvat_names: str = CVAT_NAMES,
    confirmed: Confirmed | None = None,
) -> None:
    """Mines predictions in a Parquet file, a folder of such, or COCO results; writes what `write_mined` does, by parts.

    Args: predictions: COCO results in JSON; or in Parquet image_id or file_name, category_id or category, x1, y1, x2,
        y2 in pixels and score from 0 to 1.
        memory: GiB to stay below.  top: hard ones and suspects in the COCO files; None: at most 10,000.
        cvat_names: as `write_mined` takes it.  confirmed: what is known of boxes and classes, and then not questioned.
    Raises: ConfigError: too little memory, or no such names.  DataError: predictions that do not fit the labels; the
        message says where.  RunError: `out` exists, or cannot be written.
    """
    source, out = Path(predictions), Path(out)
    check_cvat_names(cvat_names)
    top = _checked_top(top)
    most_rows(memory)
    confirmed = confirmed or Confirmed()
    unfinished, converted = (out.with_name(f".{out.name[:60]}.{kind}") for kind in ("unfinished", "found"))
    if not unfinished.exists():  # nothing to go on with
        refuse_existing(out)
    with _removed_if_refused(converted):
        with _writing(out):
            files = _found_files(source, converted, confirmed)
        check_sample(labels, files, confirmed)
        results = open_results(labels, files, confirmed.category_offset or 0)
        rows = _count(labels, results, source)
        num_parts = _num_parts(rows["objects"] + rows["predictions"], memory)
        _refuse_scores(results, source)
    plan = {
        "hardmine": version_of("hardmine"),
        "out": out.name,
        "predictions": files.facts,
        "box_format": files.box_format,
        "category_offset": confirmed.category_offset or 0,
        "labels": labels.facts,
        "rows": rows,
        "parts": num_parts,
    }
    with _writing(out):
        if _is_published(unfinished, plan) and is_taken(out):
            logger.info("%s was finished already", out)
        else:
            refuse_existing(out)
            _start(unfinished, plan)
            _mine_parts(labels, results, source, unfinished, num_parts)
            joined = _join(unfinished, rows, num_parts)
            tables = {name: pl.scan_parquet(joined / f"{name}.parquet") for name in TABLES}
            named = labels.categories, labels.folder, source.name
            write_made_of_tables(joined, tables, *named, top, cvat_names, labels.origin)
            _publish(unfinished, joined, out)
        _remove(unfinished)
        if files.is_converted:
            shutil.rmtree(converted)


def _found_files(source: Path, converted: Path, confirmed: Confirmed) -> FoundFiles:
    if source.is_dir() or holds_parquet(source):
        _refuse_unfinished(source)
        return FoundFiles.of_parquet(source, confirmed)
    return FoundFiles.of_json(source, converted, confirmed)


@contextmanager
def _removed_if_refused(converted: Path) -> Iterator[None]:
    """Leaves no predictions that were converted and then found not to fit."""
    try:
        yield
    except (DataError, ConfigError):
        shutil.rmtree(converted, ignore_errors=True)
        raise


def _refuse_unfinished(source: Path) -> None:
    """Raises: DataError: the folder is one of `hardmine predict`, and not all that it should hold is there."""
    if (source / "plan.json").exists():
        from hardmine.training.predict import refuse_unfinished_shards

        refuse_unfinished_shards(source)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Raises: RunError: what is done inside meets a disk that is full or cannot be written."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(
            f"cannot write {out}: {what_failed(error)}; the same command goes on where this stopped"
        ) from error


def _checked_top(top: int | None) -> int:
    if top is not None and top < 1:
        raise ConfigError(f"top must be at least 1, got {top}")
    return MOST_LISTED if top is None else min(top, MOST_ROWS)


def _count(labels: LabelFiles, results: pl.LazyFrame, source: Path) -> dict[str, int]:
    rows = {}
    for name, table, read in zip(
        COUNTED, (labels.images, labels.objects, results), (labels.source, labels.source, source), strict=True
    ):
        with reading(read):
            rows[name] = table.select(pl.len()).collect().item()
    if not rows["predictions"]:
        raise DataError(f"{source}: no prediction in it; expected at least one, so that there is something to mine")
    return rows


def _refuse_scores(results: pl.LazyFrame, source: Path) -> None:
    """Before the first part is mined: whoever corrects the scores has other predictions, and no parts of these."""
    with reading(source):
        first = results.filter(pl.col("score").is_finite() & IS_NO_PROBABILITY).head(1).collect(engine="streaming")
    refuse_no_probability(first, lambda row: f"{source}, record {row}")


def most_rows(memory: float) -> float:
    """Objects and predictions that are mined at once within so many GiB. Raises: ConfigError: too little for any."""
    if not (math.isfinite(memory) and memory > LEAST_MEMORY):
        raise ConfigError(f"memory must be above {LEAST_MEMORY} GiB, got {memory:g}")
    return (memory - LEAST_MEMORY) * 2**30 / BYTES_A_ROW


def _num_parts(rows: int, memory: float) -> int:
    parts = max(math.ceil(rows / most_rows(memory)), 1)
    if parts > MOST_PARTS:
        raise ConfigError(f"memory of {memory:g} GiB makes {parts:,} parts of {rows:,} rows; give more")
    return parts


def _is_published(folder: Path, plan: Mapping[str, object]) -> bool:
    """Whether all that is left of this mining is to remove its parts."""
    return _read_plan(folder / "published.json") == plan and not (folder / "joined").exists()


def _start(folder: Path, plan: Mapping[str, object]) -> None:
    """Makes the folder for parts, or checks that what is there are parts of the same."""
    file, published = folder / "plan.json", folder / "published.json"
    if published.exists() and (folder / "joined").exists():  # stopped just before the last step
        published.replace(file)
    elif not file.exists():  # nothing, or what is left of another mining that was finished
        _remove(folder)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, plan)
    elif _read_plan(file) != plan:
        raise RunError(
            f"{folder} holds parts of another mining, or of this one before its labels, predictions or options "
            "changed; delete it, or choose another --out"
        )


def _read_plan(file: Path) -> object:
    try:
        return json.loads(read_text(file))
    except (DataError, ValueError, RecursionError):
        return None


def _mine_parts(labels: LabelFiles, results: pl.LazyFrame, source: Path, folder: Path, num_parts: int) -> None:
    calibration = None
    for number in range(num_parts):
        logger.info("part %d of %d", number + 1, num_parts)
        done = folder / f"part{number:05}"
        if done.exists() and number:
            continue
        of_part = _checked_labels(_part(labels, number, num_parts), labels.source)
        found = _checked(_take(results, source, number, num_parts), of_part, source)
        if calibration is None:
            calibration = Calibration.fit(
                objects_in(of_part.objects), detections_in(found), of_part.sizes_of(of_part.objects)
            )
            if calibration.model is None and num_parts > 1:
                logger.warning(
                    "the first of %d parts has too few labels to learn what a faulty one looks like: probabilities of "
                    "suspects are rough; give more --memory",
                    num_parts,
                )
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
    tables = (labels.images.with_row_index("row"), labels.objects)
    images, objects = (_take(table, labels.source, number, num_parts) for table in tables)
    return Labels(images, objects, labels.categories, labels.folder)


def _take(table: pl.LazyFrame, source: Path, number: int, num_parts: int) -> pl.DataFrame:
    """The rows whose image falls into a part; those of no image are in the first, to be refused there."""
    # Knuth's multiplicative hash, the upper half
    mixed = (pl.col("image_id") * 2_654_435_761) % 4_294_967_296 // 65_536
    with reading(source):
        return table.filter(mixed.fill_null(0) % num_parts == number).collect(engine="streaming")


def _checked_labels(labels: Labels, source: Path) -> Labels:
    """The labels of a part.

    Raises: DataError: an image twice or without its size, an object of an image or a class that there is not, no box.
    """
    in_images = {
        "no id, name, width or height": pl.any_horizontal(pl.col(name).is_null() for name in IMAGE),
        "image_id twice": pl.col("image_id").is_duplicated(),
        "width or height below 1": pl.min_horizontal("width", "height") < 1,
    }
    refuse_rows(labels.images, in_images, str(source / "images.parquet"), "row")
    in_objects = {
        "image_id that is not in images.parquet": ~pl.col("image_id").is_in(labels.images["image_id"].implode()),
        "category_id that is not in categories.parquet": pl.col("category").is_null()
        & ~(pl.col("is_crowd") & pl.col("category_id").is_null()),
        **NO_BOX,
        **{f"{name} neither true nor false": pl.col(name).is_null() for name in MARKS},
    }
    refuse_rows(labels.objects, in_objects, str(source / "objects.parquet"), "object")
    return replace(labels, images=labels.images.drop("row"))


def _checked(found: pl.DataFrame, labels: Labels, source: Path) -> pl.DataFrame:
    """The results of a part with the names of their classes.

    Raises: DataError: one of an image or class that the labels do not have, or numbers that are none.
    """
    known = {
        "image_id": labels.images["image_id"].implode(),
        "category_id": pl.Series(list(labels.categories)).implode(),
    }
    wrong = {
        **{f"{name} that the labels do not have": ~pl.col(name).is_in(ids) for name, ids in known.items()},
        **NO_BOX,
        "score that is no number": ~pl.col("score").is_finite(),
    }
    refuse_rows(found, wrong, str(source), "prediction")
    names = pl.col("category_id").replace_strict(dict(labels.categories), return_dtype=pl.String)
    return scores_in_range(found.with_columns(names.alias("category")))


def _join(folder: Path, rows: Mapping[str, int], num_parts: int) -> Path:
    """The tables of all parts in one folder.

    Raises: RunError: there are more or fewer rows than were read.
    """
    joined = folder / "joined"
    joined.mkdir(exist_ok=True)
    parts = [folder / f"part{number:05}" for number in range(num_parts)]
    for name in TABLES:
        table = pl.scan_parquet([part / f"{name}.parquet" for part in parts], glob=False)
        if name == "images":
            table = table.with_columns(image_weight(_exact_sum(table, "hardness")))
        table.sink_parquet(joined / f"{name}.parquet")
    for name, expected in rows.items():
        got = pl.scan_parquet(joined / f"{name}.parquet", glob=False).select(pl.len()).collect().item()
        if got != expected:
            raise RunError(
                f"{folder}: {got} rows of {name} in its parts, expected {expected}; a file changed while it was read: "
                "delete this folder, and start again"
            )
    return joined


def _exact_sum(table: pl.LazyFrame, name: str) -> float:
    """The sum of a column, whatever the order in which its rows come."""
    return math.fsum(table.select(name).collect()[name])


def _publish(folder: Path, joined: Path, out: Path) -> None:
    """Makes OUT in one step; from just before it the parts are not needed any more."""
    out.parent.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").replace(folder / "published.json")
    joined.replace(out)


def _remove(folder: Path) -> None:
    """Removes the folder of a mining, however much of it is there still; its plan last."""
    for part in (*folder.glob("part*"), *folder.glob("joined")):
        shutil.rmtree(part)
    for file in (*folder.glob(".*.part"), *folder.glob("*.json")):
        file.unlink()
    if folder.exists():
        folder.rmdir()
