"""What the documentation shows for other frameworks, run as it stands there."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hardmine.data import export, open_dataset, open_scenes
from hardmine.mining import mine, write_mined

PAGE = Path(__file__).parents[2] / "docs" / "augmentation.md"
ALONE, TRANSFORMERS, ULTRALYTICS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def shown(tmp_path):
    """What is defined once the first example ran, of which every object was missed."""
    export({"train": open_scenes("train", num_images=12, size=64)}, "coco", tmp_path / "data")
    dataset = open_dataset(tmp_path / "data", "train")
    first = next(record for record in dataset.records if len(record.boxes))
    x1, y1, x2, y2 = first.boxes[0].tolist()
    result = {"image_id": first.image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.01}
    tables = mine(dataset, [result])
    trusted = tables.objects.with_columns(spurious=0.0, wrong_class=0.0, badly_located=0.0)
    write_mined(tmp_path / "mined", replace(tables, objects=trusted), "results.json")
    names = {"data": str(tmp_path / "data"), "mined": str(tmp_path / "mined")}
    torch.manual_seed(0)
    exec(ALONE, names)
    return names


def test_alone(shown):
    assert len(shown["target"]["labels"]) >= len(shown["dataset"].records[0].labels)
    assert shown["image"].shape == (3, 64, 64)


def test_in_transformers(shown):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers import RTDetrImageProcessor

    exec(TRANSFORMERS, shown)
    processor = RTDetrImageProcessor(size={"height": 64, "width": 64})
    before = sum(len(record.labels) for record in shown["dataset"].records)
    made = [shown["for_transformers"](index, processor) for index in range(len(shown["dataset"]))]
    assert made[0]["pixel_values"].shape[-2:] == (64, 64)
    boxes = torch.cat([of["labels"][0]["boxes"] for of in made])
    assert len(boxes) > before
    assert ((boxes >= 0) & (boxes <= 1)).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_in_ultralytics(shown, tmp_path, monkeypatch):
    pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    exec(ULTRALYTICS, shown)
    scenes = {"train": open_scenes("train", num_images=12, size=64), "val": open_scenes("val", num_images=4, size=64)}
    data = export(scenes, "yolo", tmp_path / "yolo")
    seen = []
    load = shown["Pasting"].get_image_and_label

    def watched(self, index):
        labels = load(self, index)
        seen.append((len(self.labels[index]["cls"]), labels["img"], labels["instances"].bboxes.copy()))
        return labels

    monkeypatch.setattr(shown["Pasting"], "get_image_and_label", watched)
    quick = {"epochs": 2, "imgsz": 64, "batch": 4, "workers": 0, "plots": False, "verbose": False, "close_mosaic": 1}
    overrides = {"model": "yolo11n.yaml", "data": str(data), "device": "cpu", "project": str(tmp_path), "name": "run"}
    shown["PastingTrainer"](overrides=overrides | quick).train()
    assert sum(len(boxes) for _, _, boxes in seen) > sum(num for num, _, _ in seen)
    for _, image, boxes in seen:
        assert image.dtype == np.uint8
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= [image.shape[1], image.shape[0]]).all()
