"""A short training on scenes with planted errors: models that did not learn a label tell whether it is wrong.

And the look-alikes, which nobody labelled and nobody told them of, are the hard negatives.
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from torchvision.ops import box_iou

from hardmine.data import Scenes, open_scenes
from hardmine.mining import MinedTables, mine
from hardmine.training import RunFolder, TrainingConfig
from hardmine.training.out_of_fold import predict_for_mining

COLUMN = {"spurious": "spurious", "shifted": "badly_located", "swapped": "wrong_class"}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return open_scenes("train", num_images=200, size=96, label_errors=0.2)


@pytest.fixture(scope="module")
def mined(scenes, tmp_path_factory) -> MinedTables:
    folder = tmp_path_factory.mktemp("planted")
    write_coco(scenes, folder)
    config = TrainingConfig(data=str(folder), backbone="tiny", image_size=96, epochs=16, flip_horizontal=0.0)
    RunFolder(folder / "run").start(config, {})
    return mine(*predict_for_mining(folder / "run", 2, progress=False))


def write_coco(scenes: Scenes, folder: Path) -> None:
    truth = scenes.coco_ground_truth()
    for index, image in enumerate(truth["images"]):
        image["file_name"] = f"{index}.png"
        Image.fromarray(scenes.pixels(index)).save(folder / image["file_name"])
    (folder / "train.json").write_text(json.dumps(truth))


@pytest.fixture(scope="module")
def fault(scenes, mined) -> np.ndarray:
    """What was planted on each label, (G,): "right", or the kind of error."""
    boxes = mined.objects.select("x1", "y1", "x2", "y2").to_numpy()
    kinds = np.full(len(boxes), "right", dtype="<U10")
    for error in scenes.planted:
        if error.box is not None:
            same = np.abs(boxes - np.array(error.box)).max(axis=1) < 1e-3
            kinds[same & (mined.objects["image_id"] == error.image_id).to_numpy()] = error.kind
    return kinds


@pytest.mark.parametrize(("kind", "least"), [("spurious", 0.85), ("shifted", 0.85), ("swapped", 0.6)])
def test_each_kind_of_error_is_found(kind, least, mined, fault):
    assert roc_auc_score(fault == kind, mined.objects[COLUMN[kind]]) > least


def test_errors_are_told_from_hard_objects(mined, fault):
    """Better than by hardness, which is what a ranking by loss would give."""
    at_fault, columns = fault != "right", mined.objects.select(COLUMN.values()).to_numpy()
    suspect = average_precision_score(at_fault, 1 - np.prod(1 - columns, axis=1))
    assert suspect > average_precision_score(at_fault, mined.objects["hardness"]) + 0.05


def test_labels_that_were_dropped_are_missed(scenes, mined):
    """Of the places without a label, those where one was dropped are more suspect than the others."""
    dropped = [(error.image_id, error.true_box) for error in scenes.planted if error.kind == "dropped"]
    free = mined.predictions.filter(pl.col("iou") < 0.1)
    assert roc_auc_score(on_one_of(free, dropped), free["missing"]) > 0.65


def test_look_alikes_are_the_hard_negatives(scenes, mined):
    """Boxes on them are a small part of the boxes on nothing, and a large part of the hardest of these."""
    look_alikes = [
        (record.image_id, tuple(box))
        for record, boxes in zip(scenes.records, scenes.look_alikes, strict=True)
        for box in boxes.tolist()
    ]
    background = mined.predictions.filter(pl.col("error") == "background").sort("hardness", descending=True)
    is_on_one = on_one_of(background, look_alikes)
    assert is_on_one[:100].mean() > 3 * is_on_one.mean()


def on_one_of(predictions: pl.DataFrame, places: list[tuple[int, tuple[float, ...]]]) -> np.ndarray:
    """Whether each prediction lies on one of the boxes of its image, by half at least."""
    places_of = defaultdict(list)
    for image_id, box in places:
        places_of[image_id].append(box)
    boxes = torch.from_numpy(predictions.select("x1", "y1", "x2", "y2").to_numpy())
    on_one = [
        bool((box_iou(box[None], torch.tensor(of, dtype=box.dtype)) >= 0.5).any())
        if (of := places_of[image_id])
        else False
        for box, image_id in zip(boxes, predictions["image_id"], strict=True)
    ]
    return np.array(on_one)
