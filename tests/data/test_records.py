from pathlib import Path

import numpy as np
import pytest
import torch

from hardmine.data import DetectionDataset, ImageRecord, Problem, open_dataset
from hardmine.errors import DataError
from hardmine.evaluation import evaluate_predictions


def record(image_id=1, file=None, **changes):
    fields = {
        "width": 64,
        "height": 48,
        "boxes": np.array([[1, 2, 11, 22]], dtype=np.float32),
        "labels": np.array([1]),
        "is_crowd": np.array([True]),
    }
    return ImageRecord(image_id, file, **(fields | changes))


def test_item_is_an_image_and_its_target(tmp_path, write_image):
    dataset = DetectionDataset("d", "train", "ab", (3, 9), [record(5, write_image(tmp_path / "a.png"))])
    image, target = dataset[0]
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 48, 64))
    assert {name: getattr(value, "dtype", value) for name, value in target.items()} == {
        "boxes": torch.float32,
        "labels": torch.int64,
        "iscrowd": torch.bool,
        "image_id": 5,
    }
    target["boxes"].zero_()
    assert dataset.records[0].boxes.any()  # a training loop may change its target in place


def test_ground_truth_uses_the_files_category_ids():
    truth = DetectionDataset("d", "train", ("cat", "dog"), (3, 9), [record()]).coco_ground_truth()
    assert truth["categories"] == [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}]
    assert truth["images"] == [{"id": 1, "file_name": "", "width": 64, "height": 48}]
    assert truth["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 9, "bbox": [1.0, 2.0, 10.0, 20.0], "area": 200.0, "iscrowd": 1}
    ]


def test_areas_of_the_file_go_before_those_of_the_boxes():
    assert record().object_areas().tolist() == [200]
    assert record(areas=np.array([7.0])).object_areas().tolist() == [7]


@pytest.mark.parametrize(
    ("classes", "ids", "records", "message"),
    [
        (("cat",), (1,), [], r"no usable image.*first of 1 problems: d\.json: line 1: bad"),
        ((), (), [record()], "0 classes"),
        (("cat",), (1, 2), [record()], "1 classes, 2 ids"),
        (("cat",), (1,), [record(), record()], "two images have the same id"),
    ],
)
def test_unusable_data_sets_are_refused(classes, ids, records, message):
    with pytest.raises(DataError, match=message):
        DetectionDataset("d", "train", classes, ids, records, [Problem("error", Path("d.json"), "line 1", "bad")])


def test_record_without_file_cannot_be_decoded():
    with pytest.raises(DataError, match="has no file"):
        DetectionDataset("d", "train", ("cat",), (1,), [record()])[0]


def test_file_that_changed_since_is_refused(tmp_path, write_coco, write_image):
    dataset = open_dataset(write_coco(tmp_path / "train.json"))
    write_image(tmp_path / "a.png", size=(10, 10))
    with pytest.raises(DataError, match=r"a\.png is 10x10, expected 64x48"):
        dataset[0]


def test_truncated_file_is_a_data_error_when_it_is_decoded(tmp_path, write_coco):
    dataset = open_dataset(write_coco(tmp_path / "train.json"))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    with pytest.raises(DataError, match=r"a\.png cannot be decoded.*hardmine check"):
        dataset[0]


REGIONS = np.array([[0, 0, 20, 20], [30, 30, 40, 40]], dtype=np.float32)


def test_places_that_could_not_be_read_are_crowds_behind_the_objects(tmp_path, write_image):
    of_objects = {"weights": np.array([0.5], dtype=np.float32), "missed": np.array([True])}
    changed = record(5, write_image(tmp_path / "a.png"), unreadable=REGIONS, **of_objects)
    _, target = DetectionDataset("d", "train", "ab", (3, 9), [changed])[0]
    assert target["boxes"].tolist() == [[1, 2, 11, 22], *REGIONS.tolist()]
    assert target["iscrowd"].tolist() == [True, True, True]
    assert target["weights"].tolist() == [0.5, 1, 1]
    assert target["missed"].tolist() == [True, False, False]


def test_an_incomplete_image_is_of_nothing_but_its_objects(tmp_path, write_image):
    changed = record(5, write_image(tmp_path / "a.png"), is_complete=False, is_crowd=np.array([False]))
    _, target = DetectionDataset("d", "train", "ab", (3, 9), [changed])[0]
    assert target["boxes"].tolist() == [[1, 2, 11, 22], [0, 0, 64, 48]]
    assert target["iscrowd"].tolist() == [False, True]


def test_evaluation_counts_nothing_where_something_could_not_be_read():
    """Of whatever class: there each region is a crowd of every class."""
    changed = record(5, unreadable=REGIONS, is_crowd=np.array([False]))
    truth = DetectionDataset("d", "train", "ab", (3, 9), [changed]).coco_ground_truth()
    assert [(a["category_id"], a["iscrowd"], a["bbox"]) for a in truth["annotations"]] == [
        (9, 0, [1, 2, 10, 20]),
        *((category, 1, box) for category in (3, 9) for box in ([0, 0, 20, 20], [30, 30, 10, 10])),
    ]
    found = {"image_id": 5, "category_id": 9, "bbox": [1, 2, 10, 20], "score": 0.5}
    there = [found | {"category_id": category, "bbox": [31, 31, 8, 8], "score": 0.9} for category in (3, 9)]
    elsewhere = found | {"bbox": [50, 30, 8, 8], "score": 0.9}
    assert evaluate_predictions(truth, [found, *there]).ap == 1
    assert evaluate_predictions(truth, [found, elsewhere]).ap == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "ids"),
    [({}, (5,)), ({"own_id": "a"}, ("a",)), ({"aliases": (6, "b")}, (5, 6, "b")), ({"is_numbered": True}, ())],
)
def test_an_image_has_the_ids_of_the_data_set(changes, ids):
    assert record(5, **changes).ids == ids


def test_images_are_called_by_id_or_else_by_name_below_their_folder():
    files = [Path("/data/images/a.png"), Path("/data/images/sub/a.png")]
    own = DetectionDataset("d", "train", "ab", (3, 9), [record(n, file) for n, file in enumerate(files)])
    assert own.called(1) == {"image_id": 1}
    numbered = [record(n, file, is_numbered=True) for n, file in enumerate(files)]
    folder = DetectionDataset("d", "train", "ab", (3, 9), numbered)
    assert (folder.folder, folder.file_names) == (Path("/data/images"), ("a.png", "sub/a.png"))
    assert [folder.called(n)["file_name"] for n in (0, 1)] == ["images/a.png", "images/sub/a.png"]
    assert folder.image_names.find([(None, folder.called(n)["file_name"]) for n in (1, 0)]) == [1, 0]
