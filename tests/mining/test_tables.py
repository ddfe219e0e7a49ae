"""Each kind by hand; then scenes, whose look-alikes are known; then records that do not fit."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from hardmine.data import open_scenes
from hardmine.errors import DataError
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


def with_changes(dataset, place=0, **changes):
    """The data set with another record at a place."""
    records = list(dataset.records)
    records[place] = replace(records[place], **changes)
    return type(dataset)("pets", "val", dataset.classes, dataset.category_ids, records)


def test_nothing_is_said_of_predictions_where_something_could_not_be_read(two_images, results):
    """Of whatever class; what takes an object there is as right as ever."""
    unreadable = np.array([[18, 0, 32, 12], [58, 0, 72, 12]], dtype=np.float32)
    tables = mine(with_changes(two_images, unreadable=unreadable), results)
    kinds = ["easy positive", "hard positive", "ignored", "ignored", "ignored", "hard negative"]
    assert tables.predictions["kind"].to_list() == kinds
    assert tables.objects["kind"].to_list()[3:5] == ["unreadable"] * 2
    assert tables.objects["category"].to_list()[3:5] == [None, None]
    assert set(tables.suspects.filter(pl.col("kind") == "missing")["image_id"]) == {11}


def test_an_image_in_which_something_is_nowhere_is_left_out(two_images, results):
    tables = mine(with_changes(two_images, is_complete=False), results)
    assert tables.images["image_id"].to_list() == [9, 11]
    assert set(tables.objects["image_id"]) == {9}
    assert tables.predictions["prediction"].to_list() == [5]
    all_incomplete = [replace(record, is_complete=False) for record in two_images.records]
    with pytest.raises(DataError, match="no image in which every object could be read"):
        mine(type(two_images)("pets", "val", ("cat",), (5,), all_incomplete), results[:1])


def test_what_is_labelled_twice_is_a_suspect_and_not_missed(two_images, results):
    tables = mine(with_changes(two_images, duplicate_of=np.array([0, 1])), results)
    once = mine(two_images, results)
    again = tables.objects.filter(pl.col("kind") == "duplicate")
    assert again.select("object", "category", "x1", "hardness").rows() == [(3, "cat", 0, None), (4, "dog", 20, None)]
    assert tables.images["hardness"].to_list() == once.images["hardness"].to_list()
    certain = tables.suspects.filter(pl.col("kind") == "duplicate")
    assert certain.select("object", "probability", "suggested_category").rows() == [(3, 1.0, None), (4, 1.0, None)]
    assert len(tables.suspects) == len(once.suspects) + 2


@pytest.mark.parametrize("box", [[200, 10, 9, 9], [-20, 10, 9, 9], [10, 10, 0, 9], [10, 100, 5, 5], [100, 0, 9, 9]])
def test_what_has_no_area_in_its_image_is_neither_hard_nor_a_suspect(two_images, results, box):
    tables = mine(two_images, [*results, results[0] | {"image_id": 11, "bbox": box, "score": 0.9}])
    row = tables.predictions.row(-1, named=True)
    assert (row["kind"], row["error"], row["missing"]) == ("ignored", "no area", 0)
    assert tables.suspects.equals(mine(two_images, results).suspects)


def test_a_missing_label_is_suggested_inside_its_image(two_images, results):
    tables = mine(two_images, [results[0] | {"image_id": 11, "bbox": [90, -5, 20, 20], "score": 0.9}])
    row = tables.suspects.filter(pl.col("kind") == "missing").row(0, named=True)
    assert [row[f"suggested_{side}"] for side in ("x1", "y1", "x2", "y2")] == [90, 0, 100, 15]
    assert tables.predictions.select("x1", "y1", "x2", "y2").row(0) == (90, -5, 110, 15)


def test_equal_predictions_are_predictions(two_images, results):
    tables = mine(two_images, [*results, results[0], results[0]])
    assert tables.predictions["error"].to_list()[-2:] == ["duplicate", "duplicate"]


def test_scores_over_one_by_rounding_are_one(two_images, results):
    tables = mine(two_images, [results[0] | {"score": score} for score in (1.0000001, 1.0009766, -1e-9)])
    assert tables.predictions["score"].to_list() == [1, 1, 0]
