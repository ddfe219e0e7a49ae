"""What a configuration says to learn from, and to measure on."""

import json
import logging
import shutil

import pytest

from hardmine.data import groups_of, open_dataset
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.training import evaluate_run, train
from hardmine.training.data import open_training_data


def ids(dataset):
    return {record.image_id for record in dataset.records}


def test_without_a_fold_both_splits_are_opened(small):
    config = small()
    train_data, val_data = open_training_data(config)
    assert (train_data.split, val_data.split) == (config.train_split, config.val_split)


def test_a_fold_is_held_out_of_the_train_split_and_measured_on(small, small_data, tmp_path):
    config = small(fold="1/2", epochs=1, val_split="nothing of that name")
    train_data, held = open_training_data(config)
    assert ids(train_data) | ids(held) == ids(open_dataset(small_data, "train"))
    assert not ids(train_data) & ids(held)
    result = train(config, tmp_path / "run", progress=False)
    assert result.predictions == tmp_path / "run" / "predictions_held_out.json"
    assert {found["image_id"] for found in json.loads(result.predictions.read_text())} <= ids(held)
    assert evaluate_run(tmp_path / "run") == result.metrics


def test_what_is_no_fold_is_refused_before_anything_is_written(small, tmp_path):
    with pytest.raises(ConfigError, match="a fold is written as 1/3"):
        train(small(fold="3/2"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_images_may_lie_elsewhere(small, small_data, tmp_path):
    for file in small_data.glob("*.json"):
        shutil.copy(file, tmp_path / file.name)
    images = open_dataset(small_data, "train").records[0].file.parent
    train_data, _ = open_training_data(small(data=str(tmp_path), images=str(images)))
    assert train_data.pixels(0).any()


def test_a_split_without_a_single_object_is_nothing_to_learn_from(small, small_data, tmp_path):
    folder = shutil.copytree(small_data, tmp_path / "data")
    for file in folder.rglob("*train*.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": []}))
    with pytest.raises(DataError, match="split train: no labelled object, so there is nothing to learn"):
        open_training_data(small(data=str(folder)))


def test_a_split_without_labels_is_all_background_only_if_that_is_said(small, small_data, tmp_path):
    """YOLO: val has images and no label file."""
    scenes = open_dataset(small_data, "train")
    for place, record in enumerate(scenes.records[:4]):
        folder = "train" if place < 2 else "val"
        image = tmp_path / "images" / folder / f"{place}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(record.file, image)
        if folder == "train":
            (tmp_path / "labels" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "labels" / folder / f"{place}.txt").write_text("0 .5 .5 .2 .2")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [a]\n")
    with pytest.raises(DataError, match=r"no label file.*--allow-unlabelled|has a label file.*--allow-unlabelled"):
        open_training_data(small(data=str(tmp_path)))
    _, val_data = open_training_data(small(data=str(tmp_path), allow_unlabelled=True))
    assert [len(record.boxes) for record in val_data.records] == [0, 0]


@pytest.fixture
def of_videos(small_data, tmp_path):
    """The small data set with a video's number for each image: train has videos 0 to 3, val 3 and 4."""
    folder = shutil.copytree(small_data, tmp_path / "videos")
    for split, video in (("train", lambda place: place % 4), ("val", lambda place: 3 + place % 2)):
        file = folder / f"{split}.json"
        document = json.loads(file.read_text())
        for place, image in enumerate(document["images"]):
            image["video_id"] = video(place)
        file.write_text(json.dumps(document))
    return str(folder)


def videos(dataset):
    return set(groups_of(dataset, "video_id").tolist())


def test_a_fold_holds_out_whole_groups(small, of_videos):
    parts = [open_training_data(small(data=of_videos, group_by="video_id", fold=f"{n}/3")) for n in (1, 2, 3)]
    assert all(not videos(rest) & videos(held) for rest, held in parts)
    assert sum(len(held) for _, held in parts) == 10
    assert set.union(*(videos(held) for _, held in parts)) == set("0123")


def test_groups_are_there_to_be_asked_for_and_shared_ones_are_told(small, of_videos, caplog):
    with caplog.at_level(logging.WARNING):
        _, val_data = open_training_data(small(data=of_videos, group_by="video_id"))
    assert groups_of(val_data, "video_id").tolist() == ["3", "4", "3", "4", "3"]
    assert "1 of the 2 groups of split 'val' are in split 'train' too, the first is '3'" in caplog.text


def test_images_without_a_group_are_refused_before_anything_is_learnt(small):
    with pytest.raises(DataError, match=r"image 'train_0.png' of small.*has no field 'patient'"):
        open_training_data(small(group_by="patient"))
    with pytest.raises(ConfigError, match="expected one: "):
        small(group_by="(a)(b)")


def test_groups_change_no_run_but_of_a_fold(small, tmp_path):
    by = r"_(\d)\.png"
    train(small(epochs=1), tmp_path / "run", progress=False)
    train(small(epochs=1, group_by=by), tmp_path / "run", progress=False, resume=True)
    train(small(epochs=1, fold="1/2"), tmp_path / "fold", progress=False)
    with pytest.raises(RunError, match="group_by is None there"):
        train(small(epochs=1, fold="1/2", group_by=by), tmp_path / "fold", progress=False, resume=True)
