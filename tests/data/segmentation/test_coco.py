import json

import numpy as np
import pytest

from hardmine.data import IGNORED, open_segmentation
from hardmine.errors import DataError

SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]


def objects(*changes):
    """Annotations of a square of class 1, each with its changes."""
    square = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0, "segmentation": SQUARE}
    return [{"id": number, **square, **change} for number, change in enumerate(changes, start=1)]


def runs(mask):
    lengths = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.reshape(-1), [2]]).astype(int)))).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if mask[0, 0] else lengths}


def test_polygons_and_run_lengths_are_painted(write_coco, tmp_path):
    mask = np.zeros((48, 64), bool)
    mask[40:, :8] = True
    annotations = objects({}, {"category_id": 2, "segmentation": runs(mask), "bbox": [0, 40, 8, 8]})
    dataset = open_segmentation(write_coco(tmp_path / "train.json", annotations=annotations))
    assert dataset.classes == ("background", "cat", "dog")
    assert dataset.split == "train"
    expected = np.zeros((48, 64))
    expected[10:30, 10:30], expected[40:, :8] = 1, 2
    assert (dataset.mask(0) == expected).all()
    assert not dataset.problems


def test_crowds_are_ignored_and_objects_lie_on_them(write_coco, tmp_path):
    everything = runs(np.ones((48, 64), bool))
    crowd = {"iscrowd": 1, "segmentation": everything, "bbox": [0, 0, 64, 48]}
    mask = open_segmentation(write_coco(tmp_path / "train.json", annotations=objects({}, crowd))).mask(0)
    assert (mask == IGNORED).sum() == 48 * 64 - 400
    assert (mask == 1).sum() == 400


def test_the_place_of_what_cannot_be_read_is_ignored(write_coco, tmp_path):
    faulty = {"segmentation": [[1, 2]], "bbox": [40, 0, 10, 5]}
    unknown = {"category_id": 9, "segmentation": [[50, 40, 60, 40, 60, 45, 50, 45]], "bbox": [50, 40, 10, 5]}
    dataset = open_segmentation(write_coco(tmp_path / "train.json", annotations=objects({}, faulty, unknown)))
    mask = dataset.mask(0)
    assert (mask[:5, 40:50] == IGNORED).all()
    assert (mask[40:45, 50:60] == IGNORED).all()
    assert (mask == IGNORED).sum() == 100
    messages = {problem.record: problem.message for problem in dataset.problems}
    assert "its box is ignored: a polygon is no list" in messages["annotation id 2"]
    assert "class id 9 is unknown" in messages["annotation id 3"]


def test_an_object_of_an_unknown_place_leaves_its_image_out(write_coco, write_image, tmp_path):
    images = [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in (1, 2)]
    for n in (1, 2):
        write_image(tmp_path / f"{n}.png")
    lost = {"segmentation": None, "bbox": None}
    dataset = open_segmentation(
        write_coco(tmp_path / "a.json", images=images, annotations=objects(lost, {"image_id": 2}))
    )
    assert [record.image_id for record in dataset.records] == [2]
    assert any("nobody knows where annotation id 1 is" in problem.message for problem in dataset.problems)


def test_boxes_alone_are_refused(write_coco, tmp_path):
    with pytest.raises(DataError, match="no annotation has a segmentation, only boxes"):
        open_segmentation(write_coco(tmp_path / "train.json"))


def test_a_category_that_is_called_background_is_that(write_coco, tmp_path):
    categories = [{"id": 1, "name": "cat"}, {"id": 7, "name": "background"}]
    dataset = open_segmentation(write_coco(tmp_path / "a.json", annotations=objects({}), categories=categories))
    assert dataset.classes == ("cat", "background")
    assert (dataset.mask(0) == 0).sum() == 400
    assert (dataset.mask(0) == 1).sum() == 48 * 64 - 400


def test_the_classes_asked_for_are_those_that_are_painted(write_coco, tmp_path):
    file = write_coco(tmp_path / "a.json", annotations=objects({}, {"category_id": 2}))
    dataset = open_segmentation(file, classes=("dog", "background"))
    assert set(np.unique(dataset.mask(0))) == {0, 1}
    assert any("1 objects of class 'cat' are left out" in problem.message for problem in dataset.problems)
    without = open_segmentation(file, classes=("cat", "dog"))
    assert set(np.unique(without.mask(0))) == {1, IGNORED}
    with pytest.raises(DataError, match="some among cat, dog"):
        open_segmentation(file, classes=("cow",))


def test_a_picture_that_is_turned_keeps_the_frame_of_its_shapes(write_coco, write_image, tmp_path):
    """The file says 64x48, as the picture is stored; shown it would be 48x64."""
    file = write_coco(tmp_path / "a.json", annotations=objects({}))
    write_image(tmp_path / "a.png", orientation=6)
    dataset = open_segmentation(file)
    assert dataset.pixels(0).shape == (48, 64, 3)
    assert dataset.mask(0).shape == (48, 64)


def test_ids_that_are_texts_are_kept(write_coco, tmp_path):
    images = [{"id": "night-7", "file_name": "a.png", "width": 64, "height": 48}]
    dataset = open_segmentation(
        write_coco(tmp_path / "a.json", images=images, annotations=objects({"image_id": "night-7"}))
    )
    assert (dataset.records[0].image_id, dataset.records[0].own_id) == (1, "night-7")


def test_a_broken_image_is_left_out(write_coco, tmp_path):
    file = write_coco(tmp_path / "a.json", annotations=objects({}))
    (tmp_path / "a.png").write_text("nothing")
    with pytest.raises(DataError, match=r"no usable image with a mask.*a\.png cannot be opened"):
        open_segmentation(file)


def test_what_is_no_coco_file_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"images": []}))
    with pytest.raises(DataError, match="not a COCO file"):
        open_segmentation(tmp_path / "a.json")
