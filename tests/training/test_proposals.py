"""Proposals for a data set: searched once and kept, or of a file; they go where the image goes."""

import json
import logging
import os
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from hardmine.data import Fold, hold_out, open_dataset, open_scenes
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.training import TrainingConfig, evaluate_run, predict_run, proposals, train
from hardmine.training.data import open_training_data
from hardmine.training.proposals import cache_folder, with_proposals


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("HARDMINE_CACHE", str(folder))
    return folder


@pytest.fixture
def searched(monkeypatch) -> list:
    """Images that a pretended search has seen: it finds the upper left quarter, and a box as wide as its mean."""
    seen = []

    def search(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels.shape)
        height, width = pixels.shape[:2]
        return np.array([[0, 0, width / 2, height / 2], [0, 0, 1 + pixels.mean() / 8, 9]], dtype=np.float32)

    monkeypatch.setitem(proposals.SEARCHES, "selective_search", search)
    monkeypatch.setattr(proposals, "find_ximgproc", lambda: None)
    return seen


@pytest.fixture
def val(small_data):
    return open_dataset(small_data, "val")


def all_of(dataset) -> list[list]:
    return [dataset[index][1]["proposals"].tolist() for index in range(len(dataset))]


def test_without_a_source_a_data_set_stays_as_it_is(val):
    assert with_proposals(val, None) is val
    assert "proposals" not in val[0][1]


def test_what_was_searched_is_not_searched_again(val, searched, cache):
    first = all_of(with_proposals(val, "selective_search"))
    assert len(searched) == len(val) == len(list(cache.rglob("*.parquet")))
    assert first[0][0] == [0, 0, 32, 32]
    assert all_of(with_proposals(val, "selective_search")) == first
    assert len(searched) == len(val)


def test_what_is_missing_is_searched(val, searched, cache):
    first = all_of(with_proposals(val, "selective_search"))
    next(cache.rglob("*.parquet")).unlink()
    assert all_of(with_proposals(val, "selective_search")) == first
    assert len(searched) == len(val) + 1


def test_a_search_that_is_stopped_leaves_whole_files_and_goes_on(val, searched, cache, monkeypatch):
    whole = proposals.SEARCHES["selective_search"]

    def stopped(pixels: np.ndarray) -> np.ndarray:
        if len(searched) == 2:
            raise KeyboardInterrupt
        return whole(pixels)

    monkeypatch.setattr(proposals.os, "cpu_count", lambda: 1)
    monkeypatch.setitem(proposals.SEARCHES, "selective_search", stopped)
    with pytest.raises(KeyboardInterrupt):
        with_proposals(val, "selective_search")
    kept = list(cache.rglob("*"))
    assert [len(pl.read_parquet(file)) for file in kept if file.is_file()] == [2, 2]
    monkeypatch.setitem(proposals.SEARCHES, "selective_search", whole)
    with_proposals(val, "selective_search")
    assert len(searched) == len(val)


def test_images_that_are_generated_have_theirs_by_their_pixels(searched):
    scenes = [open_scenes(split, num_images=3, size=64) for split in ("train", "val", "train")]
    found = [all_of(with_proposals(dataset, "selective_search")) for dataset in scenes]
    assert found[0] == found[2] != found[1]
    assert len(searched) == 6


def test_an_image_that_changes_is_searched_again(small_data, searched, tmp_path):
    folder = shutil.copytree(small_data, tmp_path / "copy")
    dataset = open_dataset(folder, "val")
    with_proposals(dataset, "selective_search")
    Image.new("RGB", (64, 64)).save(dataset.records[0].file)
    found = all_of(with_proposals(dataset, "selective_search"))
    assert len(searched) == len(dataset) + 1
    assert found[0][1] == [0, 0, 1, 9]


def test_an_image_written_anew_at_the_same_size_is_searched_again(small_data, searched, tmp_path):
    dataset = open_dataset(shutil.copytree(small_data, tmp_path / "copy"), "val")
    with_proposals(dataset, "selective_search")
    os.utime(dataset.records[0].file, (1, 1))
    with_proposals(dataset, "selective_search")
    assert len(searched) == len(dataset) + 1


def test_folds_have_those_of_the_whole(val, searched):
    whole = with_proposals(val, "selective_search")
    rest, fold = hold_out(whole, Fold(1, 2))
    of_whole = {whole[index][1]["image_id"]: found for index, found in enumerate(all_of(whole))}
    for part in (rest, fold):
        assert all_of(part) == [of_whole[record.image_id] for record in part.records]
    assert len(searched) == len(val)


@pytest.mark.parametrize(("rank", "first"), [("0", 0), ("1", 2)])
def test_processes_start_at_different_images(rank, first, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    turn = proposals._in_turn([0, 1, 2, 3, 4])
    assert turn[0] == first
    assert sorted(turn) == [0, 1, 2, 3, 4]


def test_a_cache_that_cannot_be_made_is_named(val, searched, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARDMINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match="set HARDMINE_CACHE"):
        with_proposals(val, "selective_search")


def test_where_things_are_kept(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HARDMINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "hardmine"


@pytest.mark.parametrize(
    ("source", "message"),
    [("edge_boxes", "needs a model of edges"), ("nowhere.parquet", "expected selective_search or the path of an")],
)
def test_a_source_that_cannot_be_had_is_named(source, message, val):
    with pytest.raises(ConfigError, match=message):
        with_proposals(val, source)


@pytest.fixture
def file(small_data, tmp_path):
    """Proposals for both splits but one image: each object moved by two pixels, and the whole image after these."""
    rows = []
    for split in ("train", "val"):
        truth = json.loads((small_data / f"{split}.json").read_text())
        for image in truth["images"]:
            own = [a["bbox"] for a in truth["annotations"] if a["image_id"] == image["id"]]
            boxes = [[x + 2, y + 2, x + w + 2, y + h + 2, 0.9] for x, y, w, h in own] + [[0, 0, 64, 64, 0.1]]
            rows += [
                {
                    "file_name": image["file_name"],
                    **dict(zip(("x1", "y1", "x2", "y2", "score"), map(float, box), strict=True)),
                }
                for box in boxes
            ]
    path = tmp_path / "boxes.parquet"
    pl.DataFrame([row for row in rows if row["file_name"] != "val_0.png"]).write_parquet(path)
    return path


def test_a_file_may_lack_some_images_but_not_all(val, file, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "hardmine"):
        found = all_of(with_proposals(val, str(file)))
    assert found[0] == []
    assert found[1][-1] == [0, 0, 64, 64]
    assert "no proposals for 1 of 5 images (val)" in caplog.text
    pl.read_parquet(file).with_columns(file_name=pl.lit("other.png")).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="no proposals for any image"):
        with_proposals(val, str(tmp_path / "other.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "fastrcnn"}, "give selective_search or a file"),
        ({"detector": "retinanet", "proposals": "selective_search"}, "only fastrcnn takes any"),
    ],
    ids=str,
)
def test_a_configuration_has_proposals_where_they_are_needed_and_nowhere_else(options, message):
    with pytest.raises(ConfigError, match=f"option proposals is .*{message}"):
        TrainingConfig(**options)


def test_batches_have_proposals_that_move_with_the_image(small, file):
    train_data, _ = open_training_data(small(detector="fastrcnn", proposals=str(file)))
    from hardmine.data import training_transform

    image, target = train_data[0]
    _, flipped = training_transform(1.0)(image, target)
    num = len(target["boxes"])
    assert torch.equal(target["proposals"][:num], target["boxes"] + 2)
    assert torch.equal(flipped["proposals"][:num], flipped["boxes"] + torch.tensor([-2.0, 2, -2, 2]))


def test_fast_rcnn_trains_is_evaluated_and_predicts(small, small_data, file, tmp_path):
    config = small(
        detector="fastrcnn", proposals=str(file), recipe="ohem", epochs=1, suspects="keep", record=True, crop=1.0
    )
    result = train(config, tmp_path / "run", progress=False)
    assert {"loss_classifier", "loss_box_reg"} <= result.rows[-1].keys()
    assert "loss_objectness" not in result.rows[-1]
    again = evaluate_run(result.folder.path)
    assert again == result.metrics
    found = predict_run(result.folder.path, small_data, "val", tmp_path / "shards", proposals=str(file))
    table = pl.concat([pl.read_parquet(shard) for shard in found.glob("*.parquet")])
    assert len(table) > 0
    with pytest.raises(ConfigError, match="expected selective_search or the path"):
        evaluate_run(result.folder.path, proposals="nowhere")
