"""From a mined folder to what is drawn in training."""

import numpy as np
import polars as pl
import pytest

from hardmine.data import open_dataset
from hardmine.errors import DataError
from hardmine.mining import mine, write_mined
from hardmine.training import train
from hardmine.training.batches import TrainingImages
from hardmine.training.mined import image_weights


@pytest.fixture
def dataset(small_data):
    return open_dataset(small_data, "train")


def table(folder, ids, weights):
    pl.DataFrame({"image_id": ids, "weight": weights}).write_parquet(folder / "images.parquet")
    return folder


def test_weights_are_found_by_image_id(dataset, tmp_path):
    ids = [record.image_id for record in dataset.records]
    table(tmp_path, [*reversed(ids), 10_000], [float(i) for i in range(len(ids) + 1)])
    assert image_weights(tmp_path, dataset).tolist() == list(reversed(range(len(ids))))


def test_what_is_mined_is_what_is_drawn(dataset, tmp_path):
    first = dataset.records[0]
    x1, y1, x2, y2 = first.boxes[0].tolist()
    result = {"image_id": first.image_id, "category_id": dataset.category_ids[first.labels[0]]}
    tables = mine(dataset, [result | {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": 1.0}])
    write_mined(tmp_path / "mined", dataset, tables, "results.json")
    assert image_weights(tmp_path / "mined", dataset).tolist() == tables.images["weight"].to_list()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "images.parquet: cannot be read"),
        (["a"] * 99, "cannot be read"),
        ([1.0], "no image id"),
        ([0.0] * 99, "not all 0"),
        ([-1.0] * 99, "at least 0"),
        ([float("nan")] * 99, "finite"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(dataset, tmp_path, weights, message):
    ids = [record.image_id for record in dataset.records]
    if weights is not None:
        table(tmp_path, ids[: len(weights)], weights[: len(ids)])
    with pytest.raises(DataError, match=message):
        image_weights(tmp_path, dataset)


def test_an_image_twice_is_refused(dataset, tmp_path):
    ids = [record.image_id for record in dataset.records]
    with pytest.raises(DataError, match="an image id twice"):
        image_weights(table(tmp_path, [*ids, ids[0]], [1.0] * (len(ids) + 1)), dataset)


def test_a_training_draws_by_the_mined_weights(dataset, small, tmp_path, monkeypatch):
    ids = [record.image_id for record in dataset.records]
    table(tmp_path, ids, np.eye(len(ids))[1])
    seen, original = set(), TrainingImages.__getitem__

    def watched(self, key):
        seen.add(key[1])
        return original(self, key)

    monkeypatch.setattr(TrainingImages, "__getitem__", watched)
    train(small(mined=str(tmp_path), epochs=1), tmp_path / "run", progress=False)
    assert seen == {1}
