"""Pascal VOC as it is written: read again by us exactly, and by torchvision's own reader."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from hardmine.data import export, open_dataset

CLASSES = ["cat & <dog>", "chien 🐕", "bell\x07"]
BOXES = [[1.25, 2.5, 10.125, 20.75], [0, 0, 64, 48], [30.3, 11.7, 0.9, 33.3]]


@pytest.fixture
def coco(tmp_path, write_image):
    """Two splits whose images are called alike, one of them in a folder; a crowd, and an image without objects."""
    top = tmp_path / "coco"
    for split in ("train", "val"):
        names = ["a.jpg", "cam 1/a.jpg", "0.5 mm.jpg", "empty.jpg"]
        for name in names:
            write_image(top / split / name)
        document = {
            "images": [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(names)],
            "annotations": [
                {"id": 10 * n + k, "image_id": n, "category_id": k, "bbox": box, "iscrowd": int(n == 2 and k == 1)}
                for n in range(3)
                for k, box in enumerate(BOXES)
            ],
            "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES)],
        }
        (top / split / "_annotations.coco.json").write_text(json.dumps(document))
    return top


def rows_of(dataset) -> list[tuple]:
    """Of each image its size and, by name, its objects; which image it is does not show."""
    rows = []
    for record in dataset.records:
        objects = zip(record.labels, record.boxes.tolist(), record.is_crowd.tolist(), strict=True)
        named = sorted((dataset.classes[label], *box, crowd) for label, box, crowd in objects)
        rows.append((record.width, record.height, named))
    return rows


@pytest.mark.parametrize("split", ["train", "val"])
def test_records_come_back_as_they_were(coco, tmp_path, split):
    written = export(coco, "voc", tmp_path / "voc")
    before, after = open_dataset(coco, split), open_dataset(written, split)
    assert sorted(rows_of(after)) == sorted(
        (width, height, [(name.replace("\x07", "\\x07"), *rest) for name, *rest in named])
        for width, height, named in rows_of(before)
    )
    assert after.problems == ()
    assert sum(record.is_crowd.sum() for record in after.records) == 1


def test_images_of_one_name_stay_apart(coco, tmp_path):
    written = export(coco, "voc", tmp_path / "voc")
    names = {split: open_dataset(written, split).file_names for split in ("train", "val")}
    assert names["train"] == ("a.jpg", "cam 1/a.jpg", "0.5 mm.jpg", "empty.jpg")
    assert set(names["val"]).isdisjoint(names["train"])
    assert all((written / "JPEGImages" / name).is_symlink() for of in names.values() for name in of)


def test_the_xml_is_what_the_devkit_has(coco, tmp_path):
    written = export(coco, "voc", tmp_path / "voc")
    root = ElementTree.parse(written / "Annotations/cam 1/a.xml").getroot()
    assert (root.tag, root.findtext("filename"), root.findtext("size/width")) == ("annotation", "cam 1/a.jpg", "64")
    first, second, _ = root.findall("object")
    assert [e.tag for e in first] == ["name", "pose", "truncated", "difficult", "bndbox"]
    assert first.findtext("name") == "cat & <dog>"
    corners = [[e.text for e in found.find("bndbox")] for found in (first, second)]
    assert corners == [["1.25", "2.5", "11.375", "23.25"], ["0", "0", "64", "48"]]
    assert (written / "ImageSets/Main/train.txt").read_text() == "a\ncam 1/a\n0.5 mm\nempty\n"


def test_torchvision_reads_it(coco, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets", reason="torchvision is not installed")
    export(coco, "voc", tmp_path / "VOCdevkit/VOC2007")
    read = datasets.VOCDetection(str(tmp_path), "2007", "val")
    ours = open_dataset(tmp_path / "VOCdevkit/VOC2007", "val")
    assert len(read) == len(ours) == 4
    for (image, target), record in zip(read, ours.records, strict=True):
        assert image.size == (record.width, record.height)
        objects = target["annotation"].get("object", [])
        boxes = [[float(found["bndbox"][name]) for name in ("xmin", "ymin", "xmax", "ymax")] for found in objects]
        np.testing.assert_array_equal(np.array(boxes, dtype=np.float32).reshape(-1, 4), record.boxes)


def test_what_could_not_be_read_is_difficult(tmp_path, write_image):
    write_image(tmp_path / "coco/a.jpg")
    boxes = [[1, 2, 10, 20], [30, 10, 9, 9]]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1 + 8 * n, "bbox": box} for n, box in enumerate(boxes)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "coco/train.json").write_text(json.dumps(document))
    before = open_dataset(tmp_path / "coco", "train").records[0]
    assert before.regions.tolist() == [[30, 10, 39, 19]]
    written = export(tmp_path / "coco", "voc", tmp_path / "voc", split="train")
    after = open_dataset(written, "train").records[0]
    assert after.is_crowd.tolist() == [False, True, True]  # of every class
    assert after.boxes[1:].tolist() == [[30, 10, 39, 19]] * 2
