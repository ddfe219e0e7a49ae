import json

import numpy as np
import pytest
from PIL import Image

from hardmine.data import available_splits, check
from hardmine.errors import DataError


def test_counts_what_is_there(tmp_path, write_coco, write_image):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    boxes = [[0, 0, 4, 4], [0, 0, 40, 40], [0, 0, 60, 40]]
    annotations = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
    annotations.append({"id": 9, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1})
    write_image(tmp_path / "b.png", size=(10, 10))
    report = check(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    (split,) = report.splits
    assert (report.format, report.problems, report.is_usable) == ("COCO", (), True)
    assert (split.split, split.num_images, split.num_background, split.num_crowd) == ("train", 2, 1, 1)
    assert (split.boxes_per_class, split.num_boxes) == ({"cat": 3, "dog": 0}, 3)
    assert (split.box_sizes.small, split.box_sizes.medium, split.box_sizes.large) == (1, 2, 0)
    assert split.box_sizes.quantiles_px[0] == 4
    assert split.box_sizes.quantiles_px[2] == 40
    assert split.image_sizes == {(64, 48): 1, (10, 10): 1}
    assert split.image_modes == {"RGB": 2}


def test_decodes_every_image(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}, {"id": 3, "file_name": "c.png"}]
    file = write_coco(tmp_path / "train.json", images=images)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    Image.fromarray(np.full((5, 5), 999, dtype=np.uint16)).save(tmp_path / "c.png")
    report = check(file)
    assert [(problem.severity, problem.file.name) for problem in report.problems] == [
        ("error", "b.png"),
        ("warning", "c.png"),
    ]
    assert (report.num_errors, report.num_warnings) == (1, 1)
    assert "cannot be decoded" in report.problems[0].message
    assert "16-bit" in report.problems[1].message
    assert report.splits[0].num_images == 2


def test_errors_come_before_warnings_and_each_once(tmp_path, write_voc):
    write_voc(tmp_path, "a", [("cat", (-5, 0, 5, 5), 0)])
    write_voc(tmp_path, "b", [("cat", (5, 5, 5, 5), 0)])
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split in ("train", "trainval"):
        (lists / f"{split}.txt").write_text("a\nb")
    report = check(tmp_path)
    assert available_splits(tmp_path) == tuple(split.split for split in report.splits) == ("train", "trainval")
    assert [problem.severity for problem in report.problems] == ["error", "warning"]


def test_one_split_of_several(tmp_path, write_coco):
    write_coco(tmp_path / "train.json")
    write_coco(tmp_path / "val.json", annotations=[])
    assert [split.split for split in check(tmp_path).splits] == ["train", "val"]
    assert [split.split for split in check(tmp_path, "val").splits] == ["val"]
    with pytest.raises(DataError, match="there is no split 'test'; choose one of train, val"):
        check(tmp_path, "test")


@pytest.mark.parametrize(
    ("empty", "background", "faults"),
    [
        ((), ("val", "test"), ()),
        (("test",), (), ()),
        (("val",), (), ("no image of val can be used",)),
        (("train",), (), ("no image of train can be used",)),
        ((), ("train",), ("no object in train",)),
        (("train", "val", "test"), (), ("no image of train, val can be used",)),
    ],
)
def test_what_is_needed_to_train(tmp_path, write_coco, empty, background, faults):
    for split in ("train", "val", "test"):
        changes = {"images": []} if split in empty else {}
        write_coco(tmp_path / f"{split}.json", **changes, **({"annotations": []} if split in background else {}))
    report = check(tmp_path)
    assert (report.faults, report.is_usable) == (faults, not faults)


def test_a_split_that_cannot_be_read_does_not_hinder_the_others(tmp_path, write_voc):
    write_voc(tmp_path)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a")
    (lists / "val.txt").write_bytes(b"\xff\x00")
    report = check(tmp_path)
    assert [(split.split, split.num_images) for split in report.splits] == [("train", 1), ("val", 0)]
    (problem,) = report.problems
    assert (problem.severity, problem.record) == ("error", "split 'val'")


def test_nothing_usable_is_a_report_not_an_exception(tmp_path, write_coco):
    file = write_coco(tmp_path / "train.json")
    (tmp_path / "a.png").unlink()
    report = check(file)
    assert (report.num_errors, report.splits[0].num_images, report.is_usable) == (1, 0, False)
    assert report.splits[0].box_sizes.quantiles_px == ()


def test_no_classes_is_a_report_too(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert not check(tmp_path).is_usable


def test_no_data_set_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no data set of a known format"):
        check(tmp_path)


def test_scenes():
    report = check("scenes")
    assert (report.format, [split.split for split in report.splits], report.problems) == (
        "generated",
        ["train", "val"],
        (),
    )
    assert sum(report.splits[0].boxes_per_class.values()) > 200


@pytest.mark.parametrize(
    ("box", "image_size", "left"),
    [
        ([10, 10, 20, 20], 800, None),
        ([10, 10, 0.05, 20], 800, "0.83 x 3.3e+02"),
        ([10, 10, 0.05, 20], 1000, None),
        ([10, 10, 5, 1], 32, "3.3 x 0.67"),
    ],
)
def test_boxes_that_vanish_when_the_image_is_resized_are_named(tmp_path, write_coco, box, image_size, left):
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box}]
    report = check(write_coco(tmp_path / "train.json", annotations=annotations), image_size=image_size)
    assert report.is_usable
    if left is None:
        assert report.problems == ()
        return
    (problem,) = report.problems
    assert (problem.severity, problem.file.name) == ("warning", "a.png")
    assert f"{left} pixels are left of it in an image with a shorter side of {image_size}" in problem.message
