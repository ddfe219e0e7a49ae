"""What is written can be read by others, and is there whole or not at all."""

import csv
import json
from dataclasses import replace
from xml.etree import ElementTree

import polars as pl
import pytest
from faster_coco_eval import COCO

from hardmine.data import open_dataset
from hardmine.errors import ConfigError, RunError
from hardmine.mining import mine, write_mined
from hardmine.mining.folder import refuse_existing
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
    monkeypatch.setattr("hardmine.mining.folder.write_list", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RunError, match=r"cannot write .*mined: No space left on device; make room"):
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


@pytest.fixture
def on_disk(two_images, results, tmp_path):
    """The tables of images that lie in files of these names."""

    def make(*names):
        tables = mine(two_images, results)
        images = tables.images.with_columns(file_name=pl.Series(names))
        return replace(tables, images=images, folder=tmp_path / "my pictures")

    return make


def test_label_tools_are_told_where_the_images_are(on_disk, tmp_path):
    write_mined(tmp_path / "mined", on_disk("a.png", "sub/b.png", "c.png"), "results.json", cvat_names="all/{file}")
    tasks = json.loads((tmp_path / "mined/suspects_label_studio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d=my%20pictures/{name}" for name in ("sub/b.png", "a.png", "c.png")
    ]
    frames = ElementTree.parse(tmp_path / "mined/suspects_cvat.xml").iter("image")
    assert [frame.get("name") for frame in frames] == ["all/b.png", "all/a.png", "all/c.png"]
    config = ElementTree.parse(tmp_path / "mined/label_studio_config.xml")
    assert [label.get("value") for label in config.iter("Label")] == ["cat", "dog"]
    readme = (tmp_path / "mined/README.md").read_text()
    for said in (f"LOCAL_FILES_DOCUMENT_ROOT={tmp_path} ", f"path `{tmp_path}/my pictures`", "here `all/{file}`"):
        assert said in readme, said


def test_images_that_cvat_cannot_tell_apart_are_left_out_and_it_is_said(on_disk, tmp_path):
    write_mined(tmp_path / "mined", on_disk("a.png", "a.jpg", "c.png"), "results.json")
    frames = ElementTree.parse(tmp_path / "mined/suspects_cvat.xml").iter("image")
    assert [frame.get("name") for frame in frames] == ["c.png"]
    assert "out for this: 2 with a suspect" in (tmp_path / "mined/README.md").read_text()
    assert len(json.loads((tmp_path / "mined/suspects_label_studio.json").read_text())) == 3


def test_images_that_cvat_takes_for_others_without_a_suspect_are_left_out(on_disk, tmp_path):
    tables = on_disk("a.png", "a.jpg", "c.png")
    only_first = replace(tables, suspects=tables.suspects.filter(image_id=7))
    write_mined(tmp_path / "mined", only_first, "results.json")
    assert list(ElementTree.parse(tmp_path / "mined/suspects_cvat.xml").iter("image")) == []


def test_generated_images_are_no_work_for_label_tools(two_images, results, tmp_path):
    write_mined(tmp_path / "mined", mine(two_images, results), "results.json")
    assert json.loads((tmp_path / "mined/suspects_label_studio.json").read_text()) == []
    assert "images are generated" in (tmp_path / "mined/README.md").read_text()


def test_where_the_folder_is_not_known_it_is_asked_for(on_disk, tmp_path):
    write_mined(tmp_path / "mined", replace(on_disk("a.png", "b.png", "c.png"), folder=None), "results.json")
    readme = (tmp_path / "mined/README.md").read_text()
    assert "mine again with `--images FOLDER`" in readme
    assert "generated" not in readme
    assert "(not known)" in readme


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_a_name_in_the_list_of_weights_is_no_formula(on_disk, tmp_path, first):
    write_mined(tmp_path / "mined", on_disk(f"{first}1+1.png", "a=1.png", "'b.png"), "results.json")
    with (tmp_path / "mined/image_weights.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file_name"] for row in rows] == [f"'{first}1+1.png", "a=1.png", "'b.png"]
    assert pl.read_parquet(tmp_path / "mined/images.parquet")["file_name"][0] == f"{first}1+1.png"


def test_odd_names_of_folders_sources_and_classes_stop_nothing(on_disk, tmp_path):
    odd = "x\udcff\x1b"
    tables = on_disk("a.png", "b.png", "c.png")
    tables = replace(tables, folder=tmp_path / odd, categories=tables.categories | {99: "never used \ud800"})
    write_mined(tmp_path / "mined", tables, f"{odd}.json")
    readme = (tmp_path / "mined/README.md").read_text(encoding="utf-8")
    assert r"(x\udcff\x1b.json)" in readme
    assert f"path `{tmp_path}/x\\udcff\\x1b`" in readme
    assert pl.read_parquet(tmp_path / "mined/categories.parquet")["category"][2] == r"never used \ud800"
    assert json.loads((tmp_path / "mined/suspects.json").read_text())["categories"][2]["name"] == "never used \ud800"
    assert r"never used \ud800" in (tmp_path / "mined/label_studio_config.xml").read_text(encoding="utf-8")


def test_names_for_cvat_that_cannot_be_made_are_refused_before_anything_is_written(two_images, results, tmp_path):
    with pytest.raises(ConfigError, match=r"cvat_names is '\{stem\}'"):
        write_mined(tmp_path / "mined", mine(two_images, results), "results.json", cvat_names="{stem}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path):
    with pytest.raises(RunError, match="is no text in UTF-8"):
        refuse_existing(tmp_path / "m\udcff")


def test_a_program_is_told_where_the_images_are(on_disk, two_images, results, tmp_path):
    tables = on_disk("a.png", "b.png", "c.png")
    write_mined(tmp_path / "mined", tables, "results.json")
    facts = json.loads((tmp_path / "mined/mined.json").read_text())
    assert (facts["format"], facts["images"], facts["predictions"]) == (1, str(tables.folder), "results.json")
    write_mined(tmp_path / "generated", mine(two_images, results), "results.json")
    facts = json.loads((tmp_path / "generated/mined.json").read_text())
    assert (facts["data"], facts["split"], facts["images"]) == ("pets", "val", None)
