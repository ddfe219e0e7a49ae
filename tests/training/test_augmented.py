"""From a mined folder to what is pasted, and to how often images of rare classes are drawn."""

import logging
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from hardmine.augmentation import BACKGROUND
from hardmine.core.boxes import SIDES
from hardmine.data import DerivedDataset, open_dataset
from hardmine.errors import ConfigError, DataError
from hardmine.mining import mine, write_mined
from hardmine.training import train
from hardmine.training.augmented import FAULTS, augmentation_of, hard_places, weights_of_images
from hardmine.training.batches import BatchOrder, training_loader
from hardmine.training.data import open_training_data
from hardmine.training.folder import RunFolder
from hardmine.training.mined import image_weights
from hardmine.training.tasks import DETECTION


@pytest.fixture(scope="module")
def dataset(small_data):
    return open_dataset(small_data, "train")


@pytest.fixture(scope="module")
def mined(dataset, tmp_path_factory):
    """Every object is missed, and on two images background is found in a free corner; nothing is doubted."""
    found = []
    for record in dataset.records[:2]:
        free = next(box for box in corners(record) if not touches(box, record.boxes))
        result = {"image_id": record.image_id, "category_id": dataset.category_ids[0], "score": 0.9}
        found.append(result | {"bbox": [free[0], free[1], 8, 8]})
    folder = tmp_path_factory.mktemp("mined") / "mined"
    tables = mine(dataset, found)
    trusted = tables.objects.with_columns(pl.lit(0.0).alias(fault) for fault in FAULTS)
    sure = tables.predictions.with_columns(missing=pl.lit(0.0))
    write_mined(folder, replace(tables, objects=trusted, predictions=sure), "results.json")
    return folder


def corners(record):
    return [(x, y, x + 8, y + 8) for x in range(0, record.width - 8, 4) for y in range(0, record.height - 8, 4)]


def touches(box, boxes):
    return ((boxes[:, :2] < box[2:]) & (boxes[:, 2:] > box[:2])).all(axis=1).any()


def changed(mined, tmp_path, name, *columns):
    """A copy of the mined folder with a table changed."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in mined.glob("*.parquet"):
        pl.read_parquet(file).write_parquet(folder / file.name)
    pl.read_parquet(folder / f"{name}.parquet").with_columns(*columns).write_parquet(folder / f"{name}.parquet")
    return folder


def test_missed_objects_and_found_backgrounds_are_places(mined, dataset):
    places = hard_places(mined, dataset)
    objects, backgrounds = places.of_objects, places.of_backgrounds
    assert len(objects) == sum(len(record.boxes) for record in dataset.records)
    for image, box, label, place in zip(objects.image, objects.boxes, objects.labels, objects.objects, strict=True):
        assert dataset.records[image].boxes[place].tolist() == box.tolist()
        assert dataset.records[image].labels[place] == label
    assert backgrounds.image.tolist() == [0, 1]
    assert set(backgrounds.labels) == set(backgrounds.objects) == {BACKGROUND}


def test_objects_that_were_dropped_as_suspects_are_no_places(mined, dataset):
    first = next(n for n, record in enumerate(dataset.records) if len(record.boxes))
    record = dataset.records[first]
    records = list(dataset.records)
    records[first] = replace(record, is_crowd=np.ones(len(record.boxes), dtype=bool))
    treated = DerivedDataset(dataset, "train", range(len(records)), records)
    assert first not in hard_places(mined, treated).of_objects.image


def test_labels_at_fault_are_not_copied(mined, dataset, tmp_path):
    folder = changed(mined, tmp_path, "objects", pl.lit(0.5).alias("wrong_class"))
    assert len(hard_places(folder, dataset).of_objects) == 0


def test_backgrounds_that_are_perhaps_objects_are_no_distractors(mined, dataset, tmp_path):
    folder = changed(mined, tmp_path, "predictions", pl.lit(0.5).alias("missing"))
    assert len(hard_places(folder, dataset).of_backgrounds) == 0


def test_backgrounds_that_an_object_touches_are_none(mined, dataset, tmp_path):
    first = dataset.records[0].boxes if len(dataset.records[0].boxes) else dataset.records[1].boxes
    x1, y1 = first[0, :2].tolist()
    moved = dict(zip(SIDES, (x1 - 20, y1 - 20, x1 + 1, y1 + 1), strict=True))
    folder = changed(mined, tmp_path, "predictions", *(pl.lit(value).alias(side) for side, value in moved.items()))
    places = hard_places(folder, dataset).of_backgrounds
    for image, box in zip(places.image, places.boxes, strict=True):
        assert not touches(box, dataset.records[image].boxes)


def test_images_that_are_gone_are_left_out(mined, dataset):
    some = DerivedDataset(dataset, "train", range(5), dataset.records[:5])
    assert hard_places(mined, some).image.max() < 5


def test_another_label_is_refused(mined, dataset, tmp_path):
    folder = changed(mined, tmp_path, "objects", pl.col("x1") + 3)
    with pytest.raises(DataError, match=r"has no label of class .* mine again"):
        hard_places(folder, dataset)


def test_other_images_are_refused(mined, small_data):
    with pytest.raises(DataError, match="no image 'val_0"):
        hard_places(mined, open_dataset(small_data, "val"))


def test_numbers_that_are_none_are_no_places(mined, dataset, tmp_path):
    is_first = pl.int_range(pl.len()) == 0
    wild = pl.when(is_first).then(float("nan")).otherwise(float("inf"))
    folder = changed(mined, tmp_path, "predictions", wild.alias("hardness"))
    assert len(hard_places(folder, dataset).of_backgrounds) == 0


def test_nothing_hard_is_refused(mined, dataset, tmp_path):
    folder = changed(mined, tmp_path, "objects", pl.lit("easy positive").alias("kind"))
    pl.read_parquet(folder / "predictions.parquet").clear().write_parquet(folder / "predictions.parquet")
    with pytest.raises(DataError, match="no hard object and no hard background"):
        hard_places(folder, dataset)


def test_no_table_is_refused(dataset, tmp_path):
    with pytest.raises(DataError, match="give the folder that `hardmine mine` wrote"):
        hard_places(tmp_path, dataset)


def test_hard_objects_must_be_there_to_be_pasted(mined, dataset, tmp_path, small):
    folder = changed(mined, tmp_path, "objects", pl.lit("easy positive").alias("kind"))
    with pytest.raises(ConfigError, match="no hard object to paste"):
        augmentation_of(small(augment_from=str(folder)), dataset, dataset)


def test_no_distractors_is_told(mined, dataset, tmp_path, small, caplog):
    folder = changed(mined, tmp_path, "predictions", pl.lit(0.5).alias("missing"))
    with caplog.at_level(logging.WARNING, "hardmine"):
        augmentation_of(small(augment_from=str(folder)), dataset, dataset)
    assert "no distractors" in caplog.text


def batches(config, workers=0):
    dataset, _ = open_training_data(config)
    order = BatchOrder(len(dataset), config, 0, 1, weights_of_images(config, dataset))
    augmentation = DETECTION.augmentation(config, dataset, dataset)
    return list(training_loader(dataset, config, order, workers, augmentation))


def test_a_draw_is_augmented_alike_whatever_the_recipe_and_the_number_of_loaders(mined, small):
    everything = "paste=.7,distractors=.5,crop=.3,mosaic=.3"
    configs = [small(augment_from=str(mined), augment=everything, recipe=recipe) for recipe in ("random", "focal")]
    first, second, by_workers = batches(configs[0]), batches(configs[1]), batches(configs[0], workers=2)
    for other in (second, by_workers):
        for (images, targets), (others, other_targets) in zip(first, other, strict=True):
            assert all(map(torch.equal, images, others))
            assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(targets, other_targets, strict=True))
    plain = batches(small())
    assert sum(len(target["labels"]) for _, targets in first for target in targets) > sum(
        len(target["labels"]) for _, targets in plain for target in targets
    )


def test_a_training_learns_from_it(mined, small, tmp_path):
    everything = {"augment": "paste=.5,distractors=.5,crop=.3,mosaic=.3", "repeat_factors": "irfs:t=.5"}
    run = train(small(augment_from=str(mined), epochs=1, record=True, **everything), tmp_path / "run", progress=False)
    assert np.isfinite(run.rows[-1]["loss"])
    (file,) = RunFolder(tmp_path / "run").dynamics.glob("*.parquet")
    assert pl.read_parquet(file)["place"].min() >= 0


def test_weights_multiply(mined, dataset, small):
    of_hardness = image_weights(mined, dataset)
    of_classes = weights_of_images(small(repeat_factors="rfs:t=.6"), dataset)
    assert len(set(of_classes)) > 1
    both = weights_of_images(small(repeat_factors="rfs:t=.6", mined=str(mined)), dataset)
    assert both.tolist() == pytest.approx((of_hardness * of_classes).tolist())
    assert weights_of_images(small(mined=str(mined)), dataset).tolist() == of_hardness.tolist()
    assert weights_of_images(small(), dataset) is None


@pytest.mark.parametrize(
    "options", [{"augment": "paste=2"}, {"augment": "paste=.4"}, {"repeat_factors": "rsf"}, {"augment_from": 3}]
)
def test_options_that_say_nothing_are_refused(small, options):
    with pytest.raises(ConfigError):
        small(**options)
