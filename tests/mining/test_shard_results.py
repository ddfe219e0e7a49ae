"""Predictions in Parquet find their images and classes by any name, and are checked before they are mined."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from hardmine.core.boxes import SIDES
from hardmine.data import DetectionDataset, open_scenes
from hardmine.errors import ConfigError, DataError
from hardmine.mining import LabelFiles, labels_of, mine_shards
from hardmine.mining.tables import TABLES
from hardmine.predictions import Confirmed


def test_images_and_classes_may_be_called_by_name(tmp_path):
    """Of a data set without ids of its own: the same as by the numbers of its images, but for the order of rows."""
    dataset = folder_of_scenes()
    by_number = pl.DataFrame(predictions_on(dataset))
    names = {record.image_id: dataset.called(place)["file_name"] for place, record in enumerate(dataset.records)}
    by_name = by_number.select(
        pl.col("image_id").replace_strict(names).alias("file_name"),
        pl.col("category_id").replace_strict(dict(enumerate(dataset.classes, start=1))).alias("category"),
        pl.exclude("image_id", "category_id"),
    )
    by_name.write_parquet(tmp_path / "names.parquet")
    mine_shards(LabelFiles.of(labels_of(dataset), dataset), tmp_path / "names.parquet", tmp_path / "by_name")
    by_number.write_parquet(tmp_path / "numbers.parquet")
    mine_shards(LabelFiles.of(labels_of(dataset)), tmp_path / "numbers.parquet", tmp_path / "by_number")
    for name in TABLES:
        one, other = (pl.read_parquet(tmp_path / folder / f"{name}.parquet") for folder in ("by_name", "by_number"))
        assert one.equals(other), name


def test_numbers_are_no_names_of_a_folder(tmp_path):
    dataset = folder_of_scenes()
    pl.DataFrame(predictions_on(dataset)).write_parquet(tmp_path / "found.parquet")
    with pytest.raises(DataError, match=r"found\.parquet, record \d+: .* of folder, split 'val'"):
        mine_shards(LabelFiles.of(labels_of(dataset), dataset), tmp_path / "found.parquet", tmp_path / "mined")


def test_shifted_classes_are_named_before_anything_is_mined(tmp_path):
    scenes = open_scenes("val", 12)
    found = pl.DataFrame(predictions_on(scenes)).with_columns(pl.col("category_id") - 1)
    found.write_parquet(tmp_path / "found.parquet")
    files = LabelFiles.of(labels_of(scenes), scenes)
    with pytest.raises(DataError, match=r"found\.parquet: with \+1 on each category id 100%"):
        mine_shards(files, tmp_path / "found.parquet", tmp_path / "mined")
    mine_shards(files, tmp_path / "found.parquet", tmp_path / "mined", confirmed=Confirmed(category_offset=1))
    assert set(pl.read_parquet(tmp_path / "mined/predictions.parquet")["error"]) == {"true"}


def test_ids_of_other_images_are_named_before_anything_is_mined(tmp_path):
    """Files are called from 0 on and ids count from 1 on: without the first, every number is one of another image."""
    scenes = open_scenes("val", 12)
    images = list(enumerate(scenes.records))
    records = [replace(record, file=Path(f"/data/{n:03}.jpg"), image_id=n + 1) for n, record in images]
    dataset = DetectionDataset("scenes", "val", scenes.classes, scenes.category_ids, records)
    found = pl.DataFrame(predictions_on(dataset)).filter(pl.col("image_id") > 1)
    found.with_columns(pl.col("image_id") - 1).write_parquet(tmp_path / "found.parquet")
    files = LabelFiles.of(labels_of(dataset), dataset)
    with pytest.raises(
        DataError, match=r"found\.parquet: with image ids taken as the numbers that files are called by"
    ):
        mine_shards(files, tmp_path / "found.parquet", tmp_path / "mined")
    found.write_parquet(tmp_path / "right.parquet")
    mine_shards(files, tmp_path / "right.parquet", tmp_path / "mined")


def folder_of_scenes():
    scenes = open_scenes("val", 12)
    records = [
        replace(record, file=Path(f"/data/images/cam{number % 3}/{number % 5}.jpg"), image_id=number, is_numbered=True)
        for number, record in enumerate(scenes.records, start=1)
    ]
    return DetectionDataset("folder", "val", scenes.classes, scenes.category_ids, records)


def predictions_on(dataset):
    """One on each object, right in all."""
    for record in dataset.records:
        for label, box in zip(record.labels.tolist(), record.boxes.tolist(), strict=True):
            sides = dict(zip(SIDES, box, strict=True))
            yield {"image_id": record.image_id, "category_id": dataset.category_ids[label], **sides, "score": 0.75}


def test_corners_are_no_sizes(tmp_path):
    scenes = open_scenes("val", 12)
    pl.DataFrame(predictions_on(scenes)).write_parquet(tmp_path / "found.parquet")
    with pytest.raises(ConfigError, match="cannot be xywh"):
        mine_shards(
            LabelFiles.of(labels_of(scenes)), tmp_path / "found.parquet", tmp_path / "m", confirmed=Confirmed("xywh")
        )


def test_predictions_on_images_that_could_not_be_read_are_left_out(tmp_path):
    scenes = open_scenes("val", 12)
    records = [replace(record, is_complete=number > 0) for number, record in enumerate(scenes.records)]
    dataset = DetectionDataset("scenes", "val", scenes.classes, scenes.category_ids, records)
    found = pl.DataFrame(predictions_on(scenes))
    found.write_parquet(tmp_path / "found.parquet")
    mine_shards(LabelFiles.of(labels_of(dataset), dataset), tmp_path / "found.parquet", tmp_path / "mined")
    mined = pl.read_parquet(tmp_path / "mined/predictions.parquet")
    assert len(mined) == len(found.filter(pl.col("image_id") != records[0].image_id))
    assert len(pl.read_parquet(tmp_path / "mined/images.parquet")) == 11
