"""Each kind by hand; then scenes, whose look-alikes are known; then records that do not fit."""

import numpy as np
import polars as pl
import pytest

from hardmine.data import open_scenes
from hardmine.mining.tables import _per_image, mine


def test_every_object_is_named(two_images, results):
    objects = mine(two_images, results).objects
    assert objects["kind"].to_list() == ["easy positive", "hard positive", "crowd", "hard positive"]
    assert objects["reason"].to_list() == ["", "low score", "", "missed"]
    assert objects["prediction"].to_list() == [0, 1, None, None]
    assert objects["hardness"].to_list() == pytest.approx([0.1, 0.75, None, 1.0])
    assert objects["category_id"].to_list() == [5, 80, 5, 5]
    assert objects["image_id"].to_list() == [7, 7, 7, 9]
    assert objects.row(1)[4:8] == (20, 0, 30, 10)


def test_how_objects_were_learnt_stands_beside_them(two_images, results):
    dynamics = pl.DataFrame({"image_id": [9, 7, 7], "place": [0, 1, 0], "margin_mean": [0.9, 0.71, 0.7]})
    objects = mine(two_images, results, dynamics=dynamics).objects
    assert objects["margin_mean"].to_list() == [0.7, 0.71, None, 0.9]
    assert objects["object"].to_list() == [0, 1, 2, 3]


def test_every_prediction_is_named(two_images, results):
    predictions = mine(two_images, results).predictions
    kinds = ["easy positive", "hard positive", "hard negative", "ignored", "easy negative", "hard negative"]
    assert predictions["kind"].to_list() == kinds
    assert predictions["error"].to_list() == ["true", "true", "confusion", "ignored", "background", "background"]
    assert predictions["object"].to_list() == [0, 1, 1, None, None, None]
    assert predictions["iou"].to_list() == [1, 1, 1, 0, 0, 0]
    assert predictions["category"].to_list() == ["cat", "dog", "cat", "cat", "dog", "cat"]


def test_images_weigh_by_what_is_hard_on_them(two_images, results):
    images = mine(two_images, results).images
    assert images["image_id"].to_list() == [7, 9, 11]
    assert images.select("num_objects", "num_predictions").rows() == [(3, 5), (1, 0), (0, 1)]
    assert images.select("hard_positives", "hard_negatives").rows() == [(1, 1), (1, 0), (0, 1)]
    assert images["hardness"].to_list() == [1.5, 1.0, 0.5]
    assert images["weight"].to_list() == [1.25, 1.0, 0.75]
    nothing_hard = mine(two_images, [results[0] | {"image_id": 9, "score": 1.0}, results[0] | {"score": 1.0}])
    assert nothing_hard.images["weight"].mean() == 1


def test_the_hardest_come_first(two_images, results):
    tables = mine(two_images, results)
    assert tables.hardest("hard positive")["object"].to_list() == [3, 1]
    assert tables.hardest("hard negative", 1)["prediction"].to_list() == [2]


def test_planted_look_alikes_are_the_hardest_negatives():
    """A detector that finds everything, sure of objects and look-alikes and not of much else."""
    scenes = open_scenes("val", 40)
    rng = np.random.default_rng(0)
    results, is_look_alike = [], []
    for record, others in zip(scenes.records, scenes.look_alikes, strict=True):
        for boxes, low, look_alike in (
            (record.boxes, 0.7, False),
            (others, 0.6, True),
            (record.boxes + 40, 0.0, False),
        ):
            for x1, y1, x2, y2 in boxes.tolist():
                score = rng.uniform(low, low + 0.3)
                box = [x1, y1, x2 - x1, y2 - y1]
                results.append({"image_id": record.image_id, "category_id": 1, "bbox": box, "score": score})
                is_look_alike.append(look_alike)
    num = sum(is_look_alike)
    background = pl.col("error") == "background"
    hardest = mine(scenes, results).hardest("hard negative").filter(background)["prediction"].to_list()[:num]
    assert np.mean(np.array(is_look_alike)[hardest]) > 0.95


def test_the_hardness_of_an_image_has_the_same_bits_wherever_its_rows_lie():
    values = np.random.default_rng(0).random(10_000)
    rows = pl.DataFrame({"image_id": np.arange(10_000) % 7, "kind": "hard negative", "hardness": values})
    found = _per_image(rows, "num_predictions", "hard negative").sort("image_id")["hard negative"]
    assert found.to_list() == [np.cumsum(values[image::7])[-1] for image in range(7)]
