"""Labels with known faults, found by predictions that are right, decided on, and put right in every form."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from hardmine.data import export, open_dataset, open_scenes
from hardmine.data.exporting import FORMS, splits_to_export
from hardmine.errors import ConfigError, DataError
from hardmine.mining import mine, write_mined
from hardmine.mining.corrected import Corrected, correct, correct_splits, told

CLASSES = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "eel"}]
NAMES = {category["id"]: category["name"] for category in CLASSES}
RIGHT = {  # image -> category and box of its objects, apart from each other
    "a.png": [(3, [2, 2, 20, 20]), (5, [30, 20, 24, 16])],
    "cam/b.png": [(5, [5, 5, 18, 30])],
    "cam/c.png": [(9, [10, 10, 40, 20]), (3, [2, 36, 12, 10])],
    "d.png": [(9, [1, 1, 60, 40])],
    "e.png": [],
}
FAULTS = {
    "a.png": [(3, [2, 2, 20, 20])],  # one is missing
    "cam/b.png": [(3, [5, 5, 18, 30])],  # of the wrong class
    "cam/c.png": [(9, [22, 16, 40, 20]), (3, [2, 36, 12, 10])],  # one is badly located
    "e.png": [(5, [20, 10, 12, 12])],  # one is spurious
}
FAR = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3], "score": 0.1}
KINDS = {"a.png": "missing", "cam/b.png": "wrong class", "cam/c.png": "badly located", "e.png": "spurious"}


def write_coco(folder, split, labels):
    names = list(RIGHT)
    for number, name in enumerate(names):
        file = folder / split / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (number, len(split), 0)).save(file)
    annotations = [
        {"image_id": n, "category_id": category, "bbox": box, "area": 0.8 * box[2] * box[3], "iscrowd": 0}
        for n, name in enumerate(names, start=1)
        for category, box in labels[name]
    ]
    document = {
        "images": [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(names, start=1)],
        "annotations": [annotation | {"id": n} for n, annotation in enumerate(annotations)],
        "categories": CLASSES,
    }
    (folder / split / "_annotations.coco.json").write_text(json.dumps(document))


@pytest.fixture
def faulty(tmp_path):
    """A data set of two splits, whose train split has four faults, in COCO's form."""
    write_coco(tmp_path / "faulty", "train", RIGHT | FAULTS)
    write_coco(tmp_path / "faulty", "val", RIGHT)
    return tmp_path / "faulty"


@pytest.fixture(params=["coco", "voc", "yolo"])
def data(request, faulty, tmp_path):
    """The same in each form that is read."""
    return faulty if request.param == "coco" else export(faulty, request.param, tmp_path / request.param)


def mined_on(data, out):
    """What predictions that are right say of the train split."""
    dataset = open_dataset(data, "train")
    results = [
        {"file_name": name, "category": NAMES[category], "bbox": box, "score": 0.95}
        for name, objects in RIGHT.items()
        for category, box in objects
    ]
    write_mined(out, mine(dataset, results), "results.json")
    return out


def decide(mined, decision="accept"):
    """Decides all suspects alike, or as a function of the row says."""
    suspects = pl.read_parquet(mined / "suspects.parquet").with_row_index("row")
    images = pl.read_parquet(mined / "images.parquet", columns=["image_id", "file_name"])
    rows = suspects.join(images, on="image_id", maintain_order="left").select("row", "image_id", "file_name", "kind")
    decisions = []
    for row in rows.iter_rows(named=True):
        of_row = decision(row) if callable(decision) else decision
        decisions += [row | {"decision": of_row}] if of_row else []
    file = mined.parent / "decisions.json"
    file.write_text(json.dumps({"format": 1, "mined": str(mined.absolute()), "decisions": decisions}))
    return file


def objects_of(dataset):
    """File name -> the names and boxes of its objects, crowds apart."""
    found = {}
    for name, record in zip(dataset.file_names, dataset.records, strict=True):
        rows = zip(record.labels, record.boxes.tolist(), record.is_crowd, strict=True)
        found[name] = sorted((dataset.classes[label], *np.round(box, 2)) for label, box, crowd in rows if not crowd)
    return found


def expected(labels):
    return {
        name: sorted((NAMES[category], x, y, x + w, y + h) for category, (x, y, w, h) in objects)
        for name, objects in labels.items()
    }


def test_each_fault_is_put_right_in_every_form(data, tmp_path):
    mined = mined_on(data, tmp_path / "mined")
    dataset = open_dataset(data, "train")
    assert objects_of(dataset) == expected(RIGHT | FAULTS)
    corrected = correct(dataset, mined, decide(mined))
    assert objects_of(corrected) == expected(RIGHT)
    assert corrected.counts == dict.fromkeys(KINDS.values(), 1)


def verdict_on(row, accepted):
    """Of a fault of an image, found by the name of its file, in whatever folder that is."""
    name, kind = accepted
    return "accept" if row["file_name"].endswith(name) and row["kind"] == kind else "reject"


def test_only_what_was_accepted_changes(data, tmp_path):
    mined, dataset = mined_on(data, tmp_path / "mined"), open_dataset(data, "train")
    for decision in ("reject", None):
        assert objects_of(correct(dataset, mined, decide(mined, decision))) == expected(RIGHT | FAULTS)
    for name, kind in KINDS.items():
        decisions = decide(mined, lambda row, of=(name, kind): verdict_on(row, of))
        assert objects_of(correct(dataset, mined, decisions)) == expected(RIGHT | FAULTS | {name: RIGHT[name]})


@pytest.mark.parametrize("form", FORMS)
def test_what_is_exported_is_right_and_other_splits_are_as_they_were(faulty, tmp_path, form):
    mined = mined_on(faulty, tmp_path / "mined")
    splits = correct_splits(splits_to_export(faulty), mined, decide(mined))
    written = export(splits, form, tmp_path / "corrected")
    train, val = (open_dataset(written, split) for split in ("train", "val"))
    assert objects_of(train) == expected(RIGHT)
    assert sorted(objects_of(val).values()) == sorted(expected(RIGHT).values())
    assert told(splits.values()) == "Labels put right: 1 removed, 1 given another class, 1 moved, 1 added"


def test_sizes_are_the_files_own_where_the_box_stayed(faulty, tmp_path):
    mined = mined_on(faulty, tmp_path / "mined")
    corrected = correct(open_dataset(faulty, "train"), mined, decide(mined))
    areas = dict(zip(corrected.file_names, (record.areas.tolist() for record in corrected.records), strict=True))
    assert areas["a.png"] == pytest.approx([0.8 * 400, 24 * 16])
    assert areas["cam/c.png"] == pytest.approx([800, 0.8 * 120])
    assert areas["e.png"] == []


def test_the_pictures_are_the_same(faulty, tmp_path):
    mined, dataset = mined_on(faulty, tmp_path / "mined"), open_dataset(faulty, "train")
    corrected = correct(dataset, mined, decide(mined))
    for index in range(len(dataset)):
        np.testing.assert_array_equal(corrected.pixels(index), dataset.pixels(index))


def test_a_label_of_which_nobody_knows_what_it_should_be_is_neither_object_nor_background(faulty, tmp_path):
    mined, dataset = mined_on(faulty, tmp_path / "mined"), open_dataset(faulty, "train")
    file = mined / "suspects.parquet"
    is_moved = pl.col("kind") == "badly located"
    unknown = [
        pl.when(~is_moved).then(name).alias(name)
        for name in pl.read_parquet_schema(file)
        if "suggested" in name or name == "prediction"
    ]
    pl.read_parquet(file).with_columns(unknown).write_parquet(file)
    corrected = correct(dataset, mined, decide(mined))
    record = corrected.records[2]
    assert record.is_crowd.tolist() == [True, False, False]  # the last was missing beside it
    assert record.boxes[:2].tolist() == dataset.records[2].boxes.tolist()
    assert "1 neither object nor background" in told([corrected])


def test_a_suggestion_that_cannot_be_followed_is_named(faulty, tmp_path):
    mined, dataset = mined_on(faulty, tmp_path / "mined"), open_dataset(faulty, "train")
    file = mined / "suspects.parquet"
    table = pl.read_parquet(file)
    changes = {
        "of class 'cow', which the data set does not have": {"suggested_category": pl.lit("cow")},
        "without a class, or a box in the image": {"suggested_x1": pl.col("suggested_x2")},
    }
    for message, change in changes.items():
        table.with_columns(**change).write_parquet(file)
        with pytest.raises(DataError, match=rf"suspects\.parquet: row \d+ is a suggestion {message}"):
            correct(dataset, mined, decide(mined, lambda row: "accept" if row["kind"] == "missing" else None))


def test_a_box_that_leaves_the_image_is_cut(faulty, tmp_path):
    mined, dataset = mined_on(faulty, tmp_path / "mined"), open_dataset(faulty, "train")
    file = mined / "suspects.parquet"
    pl.read_parquet(file).with_columns(suggested_x2=pl.lit(90.0)).write_parquet(file)
    boxes = np.concatenate([record.boxes for record in correct(dataset, mined, decide(mined)).records])
    assert boxes.max() == 64


def test_labels_that_changed_since_are_refused(faulty, tmp_path):
    mined, dataset = mined_on(faulty, tmp_path / "mined"), open_dataset(faulty, "train")
    decisions = decide(mined)
    other = type(dataset)(
        dataset.name,
        dataset.split,
        dataset.classes,
        dataset.category_ids,
        [replace(record, boxes=record.boxes + np.float32(1)) for record in dataset.records],
    )
    with pytest.raises(DataError, match="expected the one that was mined; mine again"):
        correct(other, mined, decisions)


def test_the_mined_split_is_found_or_named(faulty, tmp_path):
    mined = mined_on(faulty, tmp_path / "mined")
    decisions = decide(mined)
    splits = splits_to_export(faulty)
    (mined / "mined.json").write_text(json.dumps({"format": 1, "split": "train"}))
    assert [name for name, of in correct_splits(splits, mined, decisions).items() if isinstance(of, Corrected)] == [
        "train"
    ]
    (mined / "mined.json").unlink()
    alone = {"a": open_dataset(export({"train": splits["train"]}, "yolo", tmp_path / "yolo"), "train")}
    assert isinstance(correct_splits(alone, mined, decisions)["a"], Corrected)


def test_another_split_than_the_mined_one_is_named(faulty, tmp_path):
    mined = mined_on(faulty, tmp_path / "mined")
    decisions = decide(mined)
    for name in RIGHT:
        (faulty / "val" / name).rename(faulty / "val" / f"{name[:-4]}-other.png")
    file = faulty / "val/_annotations.coco.json"
    file.write_text(file.read_text().replace(".png", "-other.png"))
    val = {"val": splits_to_export(faulty)["val"]}
    with pytest.raises(DataError, match=r"the split 'train' was mined, and val is not it .*choose that with --split"):
        correct_splits(val, mined, decisions)


def test_other_data_than_was_mined_is_refused(faulty, tmp_path):
    mined = mined_on(faulty, tmp_path / "mined")
    decisions = decide(mined)
    (mined / "mined.json").unlink()
    for name in RIGHT:
        for split in ("train", "val"):
            (faulty / split / name).rename(faulty / split / f"{name[:-4]}-other.png")
    for split in ("train", "val"):
        file = faulty / split / "_annotations.coco.json"
        file.write_text(file.read_text().replace(".png", "-other.png"))
    with pytest.raises(DataError, match="it is of other images or labels than those of train, val; give the data"):
        correct_splits(splits_to_export(faulty), mined, decisions)


def test_generated_images_need_the_split(tmp_path):
    scenes = {split: open_scenes(split, num_images=3) for split in ("train", "val")}
    write_mined(tmp_path / "mined", mine(scenes["train"], [FAR]), "nothing")
    (tmp_path / "mined" / "mined.json").unlink()  # which would name the split
    decisions = decide(tmp_path / "mined")
    with pytest.raises(ConfigError, match="give it with --split"):
        correct_splits(scenes, tmp_path / "mined", decisions)
    alone = correct_splits({"train": scenes["train"]}, tmp_path / "mined", decisions)
    assert isinstance(alone["train"], Corrected)
