"""What is written in another form is read again as the same boxes, by us and by the frameworks it is for."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardmine.data import export, open_dataset, open_scenes
from hardmine.data.exporting import FORMS
from hardmine.errors import ConfigError, DataError, RunError

CLASSES = [{"id": 7, "name": 'cat: "big"'}, {"id": 9, "name": "chien 🐕\u2028#"}]
BOXES = [[1.25, 2.5, 10.125, 20.75], [0, 0, 64, 48], [30.3, 11.7, 0.9, 33.3]]


@pytest.fixture
def nested(tmp_path, write_image) -> Path:
    """A COCO data set whose images have odd names, in folders, with a crowd and a box that touches all sides."""
    top = tmp_path / "nested"
    names = ["cam1/a.png", "cam2/a.png", "cam2/a.jpg", "images/b.jpg", ".hidden.png", "c.gif", "0.5 mm.jpg"]
    for split in ("train", "val"):
        for name in names:
            write_image(top / split / name)
        images = [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(names, start=1)]
        annotations = [
            {"id": 10 * n + k, "image_id": n, "category_id": 7 + 2 * (k % 2), "bbox": box, "iscrowd": int(n == k == 2)}
            for n in range(1, len(names))  # the last image has no object
            for k, box in enumerate(BOXES)
        ]
        document = {"images": images, "annotations": annotations, "categories": CLASSES}
        (top / split / "_annotations.coco.json").write_text(json.dumps(document))
    return top


def objects_of(dataset) -> list[list[tuple]]:
    """Of each image, by its pixels, the boxes and names of its objects, crowds apart."""
    found = []
    for index, record in enumerate(dataset.records):
        rows = zip(record.labels, record.boxes.tolist(), record.is_crowd, strict=True)
        objects = sorted((dataset.classes[label], *box) for label, box, is_crowd in rows if not is_crowd)
        found.append((dataset.pixels(index).tobytes(), objects))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_and_classes_come_back(form, split, nested, tmp_path):
    written = export(nested, form, tmp_path / "out")
    before, after = (objects_of(open_dataset(data, split)) for data in (nested, written))
    assert len(before) == len(after) == 7
    for (pixels, objects), (same_pixels, same) in zip(sorted(before), sorted(after), strict=True):
        assert pixels == same_pixels
        assert [name for name, *_ in objects] == [name for name, *_ in same]
        np.testing.assert_allclose([box for _, *box in objects], [box for _, *box in same], atol=1e-3)


def named_boxes(dataset, index) -> list[tuple]:
    record = dataset.records[index]
    return sorted(
        (dataset.classes[label], *box) for label, box in zip(record.labels, record.boxes.tolist(), strict=True)
    )


@pytest.mark.parametrize("form", FORMS)
def test_scenes_have_their_images_written(form, tmp_path):
    scenes = {split: open_scenes(split, num_images=3, size=64) for split in ("train", "val")}
    written = export(scenes, form, tmp_path / form)
    images = {}
    for split, before in scenes.items():
        after = open_dataset(written, split)
        in_xml_order = form == "voc"  # which knows no list of classes
        assert set(after.classes) <= set(before.classes) if in_xml_order else after.classes == before.classes
        images |= {after.pixels(index).tobytes(): named_boxes(after, index) for index in range(len(after))}
    for before in scenes.values():
        for index in range(len(before)):
            same = images[before.pixels(index).tobytes()]
            assert [name for name, *_ in same] == [name for name, *_ in named_boxes(before, index)]
            np.testing.assert_allclose(
                [box for _, *box in same], [box for _, *box in named_boxes(before, index)], atol=1e-3
            )


def test_crowds_stay_in_coco_and_are_counted_where_yolo_cannot_have_them(nested, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "hardmine"):
        coco = open_dataset(export(nested, "coco", tmp_path / "coco"), "train")
        assert not caplog.records
        export(nested, "yolo", tmp_path / "yolo")
    assert sum(int(record.is_crowd.sum()) for record in coco.records) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("2 crowd, difficult or unreadable objects are left out: YOLO cannot say")


def test_names_stay_apart_and_inside_and_where_ultralytics_looks(nested, tmp_path):
    """Labels are found by the stem of a name, in the place of the last folder called images; hidden files are not."""
    out = export(nested, "yolo", tmp_path / "out").parent
    images = sorted(str(file.relative_to(out / "images/train")) for file in (out / "images/train").rglob("*.*"))
    assert images == [
        "0.5 mm.jpg",
        "_.hidden.png",
        "c.png",
        "cam1/a.png",
        "cam2/a-2.jpg",
        "cam2/a.png",
        "images_/b.jpg",
    ]
    for name in images:
        assert (out / "labels/train" / name).with_suffix(".txt").is_file()


def test_images_are_linked_and_copied_where_links_cannot_be_made(nested, tmp_path, monkeypatch):
    place = "images/train/cam1/a.png"
    link = export(nested, "yolo", tmp_path / "out").parent / place
    assert link.is_symlink()
    assert link.resolve() == (nested / "train/cam1/a.png").resolve()

    def refuse(*_):
        raise OSError("not here")

    monkeypatch.setattr(os, "symlink", refuse)
    hard = export(nested, "yolo", tmp_path / "hard").parent / place
    assert hard.stat().st_ino == link.stat().st_ino
    assert not hard.is_symlink()
    monkeypatch.setattr(os, "link", refuse)
    copy = export(nested, "yolo", tmp_path / "copy").parent / place
    assert copy.stat().st_ino != link.stat().st_ino
    assert copy.read_bytes() == link.read_bytes()


def test_an_image_that_a_camera_left_turned_is_written_upright(tmp_path, write_voc, write_image):
    write_voc(tmp_path / "voc", size=(48, 64), objects=[("cat", (10, 10, 30, 60), 0)])
    write_image(tmp_path / "voc/JPEGImages/a.jpg", orientation=6)
    written = export(tmp_path / "voc", "coco", tmp_path / "out")
    with Image.open(written / "train/a.png") as image:
        assert image.size == (48, 64)
    before, after = open_dataset(tmp_path / "voc"), open_dataset(written)
    assert objects_of(before) == objects_of(after)


def test_a_lone_split_is_for_training_and_what_is_missing_is_said(tmp_path, write_coco, caplog):
    write_coco(tmp_path / "some/things.json")
    with caplog.at_level(logging.WARNING, "hardmine"):
        file = export(tmp_path / "some", "yolo", tmp_path / "out")
    assert "there is no split val" in caplog.text
    assert open_dataset(file, "train").classes == ("cat", "dog")


def test_nothing_is_overwritten(nested, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"out exists already; choose another folder"):
        export(nested, "yolo", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_what_cannot_be_written_is_said(nested, tmp_path):
    with pytest.raises(ConfigError, match="unknown form 'yola'; did you mean yolo"):
        export(nested, "yola", tmp_path / "out")
    with pytest.raises(DataError, match="there is no file or folder"):
        export(tmp_path / "nothing", "yolo", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot "):
        export(nested, "yolo", tmp_path / "file/out")


def test_ultralytics_reads_the_same_boxes(nested, tmp_path):
    pytest.importorskip("ultralytics", reason="reads what is exported for it")
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    file = export(nested, "yolo", tmp_path / "out")
    data = check_det_dataset(str(file))
    ours = open_dataset(nested, "train")
    assert tuple(data["names"].values()) == ours.classes
    theirs = YOLODataset(img_path=data["train"], data=data, imgsz=64, augment=False, hyp=get_cfg())
    assert len(theirs.labels) == 7
    found = {Path(label["im_file"]).resolve(): label for label in theirs.labels}
    linked = [record for record in ours.records if record.file.suffix != ".gif"]
    for record in linked:
        label = found[record.file.resolve()]
        middle, sides = np.split(label["bboxes"] * [64, 48, 64, 48], 2, axis=1)
        boxes = np.concatenate([middle - sides / 2, middle + sides / 2], axis=1)
        kept = ~record.is_crowd
        order, own = np.lexsort(boxes.T), np.lexsort(record.boxes[kept].T)
        np.testing.assert_allclose(boxes[order], record.boxes[kept][own], atol=1e-3)
        assert (label["cls"].ravel()[order] == record.labels[kept][own]).all()


def test_rf_detr_reads_the_same_boxes(nested, tmp_path):
    coco = pytest.importorskip("rfdetr.datasets.coco", reason="reads what is exported for it")
    out = export(nested, "coco", tmp_path / "out")
    assert coco.is_valid_coco_dataset(str(out))
    data = coco.CocoDetection(out / "train", out / "train" / "_annotations.coco.json", transforms=None)
    ours = open_dataset(nested, "train")
    assert len(data) == len(ours)
    for index in range(len(data)):
        image, target = data[index]
        record = ours.records[index]
        assert image.size == (record.width, record.height)
        np.testing.assert_allclose(target["boxes"].numpy(), record.boxes[~record.is_crowd], atol=1e-3)
