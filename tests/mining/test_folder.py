"""What is written can be read by others, and is there whole or not at all."""

import json

import polars as pl
import pytest
from faster_coco_eval import COCO

from hardmine.data import open_dataset
from hardmine.errors import RunError
from hardmine.mining import mine, write_mined
from hardmine.mining.labels import labels_of


def test_the_folder_holds_what_its_readme_says(two_images, results, tmp_path):
    tables = mine(two_images, results)
    write_mined(tmp_path / "mined", tables, "results.json")
    readme = (tmp_path / "mined/README.md").read_text()
    files = {file.name for file in (tmp_path / "mined").iterdir()} - {"README.md"}
    assert all(f"`{name}`" in readme for name in files)
    assert "3 images with 4 objects, against 6 predictions (results.json)" in readme
    for name in ("images", "objects", "predictions", "suspects"):
        assert pl.read_parquet(tmp_path / f"mined/{name}.parquet").equals(getattr(tables, name))
    weights = pl.read_csv(tmp_path / "mined/image_weights.csv")
    assert weights["weight"].to_list() == [1.25, 1.0, 0.75]


def test_coco_files_are_coco_and_hardest_first(two_images, results, tmp_path):
    write_mined(tmp_path / "mined", mine(two_images, results), "results.json")
    positives = COCO(str(tmp_path / "mined/hard_positives.json"))
    assert [(a["image_id"], a["category_id"], a["reason"]) for a in positives.dataset["annotations"]] == [
        (9, 5, "missed"),
        (7, 80, "low score"),
    ]
    negatives = json.loads((tmp_path / "mined/hard_negatives.json").read_text())
    assert [(a["id"], a["bbox"], a["error"]) for a in negatives["annotations"]] == [
        (1, [20, 0, 10, 10], "confusion"),
        (2, [60, 0, 10, 10], "background"),
    ]
    assert [image["id"] for image in negatives["images"]] == [7, 11]


def test_suspects_are_coco_with_what_they_should_be(two_images, results, tmp_path):
    write_mined(tmp_path / "mined", mine(two_images, results), "results.json")
    found = COCO(str(tmp_path / "mined/suspects.json")).dataset["annotations"]
    assert [(a["image_id"], a["category_id"], a["bbox"], a["kind"]) for a in found] == [
        (9, 5, [0, 0, 10, 10], "spurious"),
        (7, 80, [20, 0, 10, 10], "wrong class"),
        (11, 5, [60, 0, 10, 10], "missing"),
    ]
    assert found[1]["suggested_category"] == "cat"
    assert "suggested_category" not in found[0]


def test_only_the_top(two_images, results, tmp_path):
    write_mined(tmp_path / "mined", mine(two_images, results), "results.json", top=1)
    for name in ("hard_positives", "hard_negatives", "suspects"):
        assert len(json.loads((tmp_path / f"mined/{name}.json").read_text())["annotations"]) == 1


def test_nothing_is_overwritten_and_nothing_left_by_a_failure(two_images, results, tmp_path, monkeypatch):
    tables = mine(two_images, results)
    monkeypatch.setattr("hardmine.mining.folder.write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RunError, match=r"cannot write .*mined \(full\)"):
        write_mined(tmp_path / "mined", tables, "results.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mined").mkdir()
    (tmp_path / "mined/mine.txt").touch()
    with pytest.raises(RunError, match="exists already"):
        write_mined(tmp_path / "mined", tables, "results.json")


def test_what_is_mined_opens_as_a_data_set(shared, tmp_path):
    dataset = open_dataset(shared / "bccd", "val")
    truth = dataset.coco_ground_truth()["annotations"]
    results = [{key: a[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.3} for a in truth]
    write_mined(tmp_path / "mined", mine(dataset, results), "results.json")
    mined = open_dataset(tmp_path / "mined/hard_positives.json", images=labels_of(dataset).folder)
    assert mined.problems == ()
    assert sum(len(record.boxes) for record in mined.records) == len(truth)
