import json
from pathlib import Path

import polars as pl
import pytest

from hardmine.errors import ConfigError
from hardmine.report.examples import read_examples
from hardmine.report.gallery import gallery_of, source_of
from hardmine.report.inputs import read_facts
from hardmine.report.pictures import FolderOfImages, Generated


@pytest.fixture
def examples(mined):
    return read_examples(mined, 10_000)


def test_the_script_is_told_what_the_tables_say(mined, examples):
    data = gallery_of(mined, read_facts(mined / "mined.json"), examples).for_script("files/1", {2: "gone"})
    of, images = data["examples"], data["images"]
    rows = examples.rows
    assert [of["kinds"][kind] for kind in of["kind"]] == rows["kind"].to_list()
    assert of["row"] == rows["row"].to_list()
    assert of["value"] == rows["value"].to_list()
    assert [int(images["id"][place]) for place in of["image"]] == rows["image_id"].to_list()
    names = [None if place is None else of["classes"][place] for place in of["category"]]
    assert names == rows["category"].to_list()
    assert of["label"][0] is None or len(of["label"][0]) == 4
    assert [box is None for box in of["label"]] == rows["label_x1"].is_null().to_list()
    assert (data["folder"], data["missing"]) == ("files/1", [2])
    json.dumps(data, allow_nan=False)


def test_the_boxes_of_an_image_are_those_on_it(mined, examples):
    data = gallery_of(mined, {}, examples).data
    labels = pl.read_parquet(mined / "objects.parquet")
    for image_id, drawn in zip(data["images"]["id"], data["images"]["labels"], strict=True):
        on_it = labels.filter(image_id=int(image_id))
        assert [box[1:] for box in drawn] == [
            [round(side, 1) for side in row] for row in on_it.select("x1", "y1", "x2", "y2").iter_rows()
        ]
        assert [data["images"]["classes"][box[0]] for box in drawn] == on_it["category"].to_list()


def test_each_example_is_cut_from_its_image(mined, examples):
    gallery = gallery_of(mined, {}, examples)
    cut = {number: of.image_id for of in gallery.wanted for number, _ in of.crops}
    assert [cut[number] for number in range(len(examples.rows))] == examples.rows["image_id"].to_list()
    assert gallery.num_suspects == pl.read_parquet(mined / "suspects.parquet").height


def test_images_are_where_the_folder_or_the_user_says(mined, examples, tmp_path):
    facts = read_facts(mined / "mined.json")
    assert source_of(facts, examples, None) == FolderOfImages(tmp_path / "data/images")
    assert source_of(facts, examples, Path("elsewhere")) == FolderOfImages(Path("elsewhere"))
    with pytest.raises(ConfigError, match="give their folder with --images"):
        source_of({}, examples, None)


def test_scenes_are_generated(mined):
    images = pl.read_parquet(mined / "images.parquet").with_columns(file_name=pl.lit(""))
    images.write_parquet(mined / "images.parquet")
    examples = read_examples(mined, 5)
    facts = {"data": "scenes", "split": "val", "images": None}
    assert source_of(facts, examples, None) == Generated("val")
    assert gallery_of(mined, facts, examples).data_set == "scenes"
