"""Predictions in Parquet that need not fit into memory, on the images and classes of labels that need not either.

Ids that are whole numbers on both sides are compared as they are, row by row. Anything else, names of files and classes
or ids that are texts, is looked up once for each image or class and joined.
"""

from pathlib import Path

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset, ImageRecord
from hardmine.data.identity import ImageName, ImageNames
from hardmine.data.parquet import reading
from hardmine.errors import DataError
from hardmine.mining.found_files import FoundFiles
from hardmine.mining.label_files import LabelFiles
from hardmine.predictions import ClassNames, Confirmed, found_in, resolve
from hardmine.predictions.found import corner_columns
from hardmine.tables.columns import SIDES

__all__ = ["check_sample", "open_results"]

SAMPLED = 300
"""Images of which all predictions are looked at before the first is mined, about."""
SIZED = ("image_id", "width", "height")


def open_results(labels: LabelFiles, files: FoundFiles, category_offset: int = 0) -> pl.LazyFrame:
    """prediction (number in the file or files, from 0), image_id, category_id, x1, y1, x2, y2, score.

    Raises: DataError: files that hold no predictions, or an image or class that the labels do not have, by name.
    """
    table = _with_images(labels, files)
    keys = ("category_id", "category")
    rows = _first_of_each(table, keys, files)
    names, found = ClassNames(_sample_dataset(labels, [])), []
    for prediction, key, name in rows.iter_rows():
        try:
            found.append(names.find(key, name, category_offset))
        except DataError as error:
            raise DataError(f"{files.source}, record {prediction}: {error}") from error
    known = rows.select(keys).with_columns(label=pl.Series(list(labels.categories), dtype=pl.Int64).gather(found))
    joined = table.join(known.lazy(), on=keys, how="left", nulls_equal=True, maintain_order="left")
    if files.box_format.endswith("n"):
        sizes = labels.images.select(SIZED).unique("image_id")
        joined = joined.join(sizes, on="image_id", how="left", maintain_order="left")
    corners = corner_columns(files.box_format)
    return joined.select("prediction", "image_id", pl.col("label").alias("category_id"), *corners, "score")


def check_sample(labels: LabelFiles, files: FoundFiles, confirmed: Confirmed) -> None:
    """Are boxes and classes what they are taken for, on some of the images?

    Raises: DataError, ConfigError: as `resolve`.
    """
    with reading(labels.source):
        step = max(1, labels.images.select(pl.len()).collect().item() // SAMPLED)
        chosen = pl.col("image_id").hash(0) % step == 0
        images = labels.images.filter(chosen).select(*SIZED, "file_name").drop_nulls(SIZED)
        images = images.unique("image_id", maintain_order=True).collect()
        on_them = pl.col("image_id").is_in(images["image_id"].implode())
        objects = labels.objects.filter(on_them).drop_nulls().collect()
    with reading(files.source):
        found = _with_images(labels, files).filter(on_them).with_columns(file_name=pl.lit(None, pl.String)).collect()
    # ids are in doubt where nothing else says the image; of some of the images, numbers and places would mislead
    if step > 1 or not _has_own_numbers(labels) or files.has_names():
        images = images.with_columns(file_name=pl.lit(None, pl.String))
    dataset = _sample_dataset(labels, _records(images, objects, labels))
    resolve(found_in(found, files.source, files.box_format), dataset, confirmed)


def _with_images(labels: LabelFiles, files: FoundFiles) -> pl.LazyFrame:
    """The predictions with the numbers of their images; those of incomplete images are left out."""
    are_numbers = _has_own_numbers(labels) and files.has_whole_ids()
    table = files.scan(pl.Int64) if are_numbers else _looked_up(labels, files)
    records = labels.dataset.records if labels.dataset is not None else ()
    incomplete = [record.image_id for record in records if not record.is_complete]
    return table.filter(~pl.col("image_id").is_in(incomplete)) if incomplete else table


def _looked_up(labels: LabelFiles, files: FoundFiles) -> pl.LazyFrame:
    keys, table = ("image_id", "file_name"), files.scan()
    rows = _first_of_each(table, keys, files)
    names, numbers = _image_names(labels)
    called = list(rows.select(keys).iter_rows())
    places = names.find(called, lambda place: f"{files.source}, record {rows['prediction'][place]}")
    known = rows.select(keys).with_columns(number=numbers.gather(places)).lazy()
    joined = table.join(known, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.col("number").alias("image_id")).drop("number")


def _first_of_each(table: pl.LazyFrame, keys: tuple[str, str], files: FoundFiles) -> pl.DataFrame:
    """prediction and keys of the first row with each pair of keys."""
    with reading(files.source):
        return (
            table.group_by(keys)
            .agg(pl.col("prediction").min())
            .select("prediction", *keys)
            .sort("prediction")
            .collect()
        )


def _has_own_numbers(labels: LabelFiles) -> bool:
    """Whether the labels' own ids of images are the numbers in their tables."""
    records = labels.dataset.records if labels.dataset is not None else ()
    return all(record.ids == (record.image_id,) for record in records)


def _image_names(labels: LabelFiles) -> tuple[ImageNames, pl.Series]:
    """What the images are called, and the number of each."""
    if labels.dataset is not None:
        return labels.dataset.image_names, pl.Series([r.image_id for r in labels.dataset.records], dtype=pl.Int64)
    with reading(labels.source):
        table = labels.images.select("image_id", pl.col("file_name").fill_null("")).collect()
    called = (ImageName((str(number),), name, name.count("/") + 1) for number, name in table.iter_rows())
    return ImageNames(called, str(labels.source)), table["image_id"]


def _sample_dataset(labels: LabelFiles, records: list[ImageRecord]) -> DetectionDataset:
    own = None if labels.dataset is None else labels.dataset.own_category_ids
    records = records or [_record(0, 1, 1, np.zeros((0, 4)), np.zeros(0))]
    classes = list(labels.categories.values())
    return DetectionDataset(str(labels.source), "", classes, list(labels.categories), records, own_category_ids=own)


def _records(images: pl.DataFrame, objects: pl.DataFrame, labels: LabelFiles) -> list[ImageRecord]:
    label_of = {category_id: label for label, category_id in enumerate(labels.categories)}
    known = objects.filter(~pl.col("is_crowd") & pl.col("category_id").is_in(list(label_of)))
    known = known.with_columns(label=pl.col("category_id").replace_strict(label_of, return_dtype=pl.Int64))
    by_image = known.partition_by("image_id", as_dict=True)
    none = known.clear()
    return [
        _record(number, width, height, rows.select(SIDES).to_numpy(), rows["label"].to_numpy(), name)
        for number, width, height, name in images.iter_rows()
        for rows in (by_image.get((number,), none),)
    ]


def _record(
    number: int, width: int, height: int, boxes: np.ndarray, labels: np.ndarray, name: str | None = None
) -> ImageRecord:
    file, is_crowd = Path(name) if name else None, np.zeros(len(boxes), dtype=bool)
    return ImageRecord(number, file, width, height, boxes.astype(np.float32), labels.astype(np.int64), is_crowd)
