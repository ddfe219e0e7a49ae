"""What is recorded of each object is what the head said of its surest sample."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from hardmine.core.samples import BACKGROUND, Assignment, GroundTruth, Predictions
from hardmine.data import DetectionDataset, open_dataset
from hardmine.errors import RunError
from hardmine.training import train
from hardmine.training.record import best_of_objects, read_dynamics


@pytest.mark.parametrize(("activation", "margin"), [("sigmoid", 0.4), ("softmax", 0.25)])
def test_the_surest_sample_speaks_for_its_object(activation, margin):
    scores = [[0.3, 0.2], [0.5, 0.1], [0.9, 0.0], [0.2, 0.1]]
    boxes = [[0.0, 0, 1, 1], [0, 0, 2, 1], [0, 0, 9, 9], [0, 0, 5, 5]]
    if activation == "softmax":
        scores[1] = [0.5, 0.25]  # 0.25 is left for the background
    truth = GroundTruth.from_lists([torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6]])], [torch.tensor([0, 1])])
    assignment = Assignment(torch.tensor([[0, 0, BACKGROUND, 0]]), torch.zeros(1, 4))
    said = Predictions(torch.tensor(boxes)[None], torch.tensor(scores)[None])
    best = best_of_objects(said, activation, truth, assignment)
    assert {name: value[0, 0].item() for name, value in best.items()} == pytest.approx(
        {"score": 0.5, "margin": margin, "iou": 0.5, "loss": 0.693147}
    )
    assert all(value[0, 1].isnan() for value in best.values())


@pytest.mark.parametrize("detector", ["retinanet", "fasterrcnn"])
def test_every_object_is_recorded_each_epoch(detector, small, small_data, tmp_path):
    run = train(small(record=True, detector=detector, crop=0.0), tmp_path / "run", progress=False)
    dataset = open_dataset(small_data, "train")
    objects = {(r.image_id, place) for r in dataset.records for place in range(len(r.labels))}
    files = sorted((tmp_path / "run/dynamics").iterdir())
    assert [file.name for file in files] == ["epoch_0001.parquet", "epoch_0002.parquet"]
    for epoch, file in enumerate(files, start=1):
        table = pl.read_parquet(file)
        assert set(table["epoch"]) == {epoch}
        assert set(table.select("image_id", "place").iter_rows()) == objects
    dynamics = read_dynamics(run.folder.dynamics, dataset)
    assert len(dynamics) == len(objects)
    assert dynamics["score_mean"].drop_nulls().is_between(0, 1).all()
    assert dynamics["margin_std"].drop_nulls().max() > 0


@pytest.mark.parametrize("crop", [0.0, 1.0])
def test_crops_and_crowds_keep_the_places(crop, small, small_data, tmp_path):
    """Of an image whose first object is a crowd, only the others are recorded, under their own places."""
    truth = json.loads((small_data / "train.json").read_text())
    first = truth["annotations"][0]["image_id"]
    num = sum(a["image_id"] == first for a in truth["annotations"])
    truth["annotations"][0]["iscrowd"] = 1
    (tmp_path / "train.json").write_text(json.dumps(truth))
    (tmp_path / "val.json").write_text((small_data / "val.json").read_text())
    config = small(record=True, crop=crop, epochs=1, data=str(tmp_path), images=str(small_data))
    train(config, tmp_path / "run", progress=False)
    rows = pl.read_parquet(tmp_path / "run/dynamics/epoch_0001.parquet").filter(pl.col("image_id") == first)
    seen, objects = set(rows["place"]), set(range(1, num))
    assert seen <= objects if crop else seen == objects


def test_recording_changes_nothing_else(small, tmp_path):
    results = [train(small(record=record), tmp_path / str(record), progress=False) for record in (True, False)]
    assert results[0].metrics == results[1].metrics
    assert results[0].rows[-1]["loss"] == results[1].rows[-1]["loss"]
    assert not results[1].folder.dynamics.exists()


def test_what_is_not_there_is_none_and_what_is_damaged_cannot_be_read(tmp_path, small_data):
    scenes = open_dataset(small_data, "train")
    assert read_dynamics(tmp_path / "dynamics", scenes) is None
    (tmp_path / "dynamics").mkdir()
    (tmp_path / "dynamics/epoch_0001.parquet").write_text("nothing")
    with pytest.raises(RunError, match=r"what the run recorded cannot be read: .*dynamics"):
        read_dynamics(tmp_path / "dynamics", scenes)


def test_objects_of_a_folder_are_found_again_by_name(tmp_path, small_data):
    """An image is removed after the training: the numbers of the others move, what was learnt of them does not."""

    def folder(names):
        records = [
            replace(record, file=Path("/data/images") / name, image_id=number, is_numbered=True)
            for number, (name, record) in enumerate(zip(names, records_of_scenes, strict=False), start=1)
        ]
        return DetectionDataset("folder", "train", ("a",), (0,), records)

    records_of_scenes = [replace(r, labels=r.labels * 0) for r in open_dataset(small_data, "train").records[:3]]
    before, after = folder(["a.jpg", "b.jpg", "c.jpg"]), folder(["b.jpg", "c.jpg"])
    rows = [
        {
            "image_id": r.image_id,
            "file_name": before.called(n)["file_name"],
            "place": 0,
            "margin": n / 4,
            "score": 0.5,
            "iou": 0.5,
            "loss": 0.5,
            "epoch": 1,
        }
        for n, r in enumerate(before.records)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "epoch_0001.parquet")
    dynamics = read_dynamics(tmp_path, after).sort("image_id")
    assert dynamics.select("image_id", "margin_mean").rows() == [(1, 0.25), (2, 0.5)]


def test_a_full_disk_leaves_no_half_an_epoch(small, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fsync = os.fsync
    written = []
    monkeypatch.setattr(
        os, "fsync", lambda number: written.append(number) or (fsync if len(written) < 3 else full)(number)
    )
    with pytest.raises(RunError, match=r"cannot write .*epoch_0001\.parquet: No space left on device; make room"):
        train(small(record=True), tmp_path / "run", progress=False)
    assert list((tmp_path / "run/dynamics").iterdir()) == []
