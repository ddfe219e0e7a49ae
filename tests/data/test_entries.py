import numpy as np
import pytest

from hardmine.data import open_dataset
from hardmine.data.entries import as_number
from hardmine.errors import DataError


def dataset_of(tmp_path, write_coco, write_image, stated, orientation, box=(0, 0, 10, 20)):
    """One image of 64x48 as stored, whose annotation states the size `stated`."""
    image = {"id": 1, "file_name": "b.jpg"} | ({} if stated is None else {"width": stated[0], "height": stated[1]})
    write_image(tmp_path / "b.jpg", orientation=orientation)
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": list(box)}
    return open_dataset(write_coco(tmp_path / "train.json", images=[image], annotations=[annotation]))


@pytest.mark.parametrize(
    ("stated", "orientation", "size", "words"),
    [
        ((64, 48), 1, (64, 48), None),
        (None, 1, (64, 48), None),
        ((48, 64), 6, (48, 64), "is turned by its EXIF orientation 6"),
        (None, 6, (48, 64), "is turned by its EXIF orientation 6"),
        ((64, 48), 6, (64, 48), "which is not applied"),
        ((64, 48), 3, (64, 48), "is turned by its EXIF orientation 3"),
    ],
)
def test_stated_size_tells_the_frame_of_the_boxes(tmp_path, write_coco, write_image, stated, orientation, size, words):
    dataset = dataset_of(tmp_path, write_coco, write_image, stated, orientation)
    image, target = dataset[0]
    assert (dataset.records[0].width, dataset.records[0].height) == size
    assert tuple(image.shape) == (3, size[1], size[0])
    assert target["boxes"].tolist() == [[0, 0, 10, 20]]
    assert [problem.severity for problem in dataset.problems] == ([] if words is None else ["warning"])
    assert words is None or words in dataset.problems[0].message


def test_image_of_another_size_than_stated_is_an_error_and_kept(tmp_path, write_coco, write_image):
    dataset = dataset_of(tmp_path, write_coco, write_image, (640, 480), 1, box=(600, 10, 20, 20))
    assert [problem.severity for problem in dataset.problems] == ["error", "error"]
    assert "is 64x48, the annotation says 640x480" in dataset.problems[0].message
    assert "lies outside the image of 64x48" in dataset.problems[1].message
    assert (len(dataset), len(dataset.records[0].boxes)) == (1, 0)


def test_box_that_vanishes_in_float32_is_left_out(tmp_path, write_coco, write_image):
    dataset = dataset_of(tmp_path, write_coco, write_image, None, 1, box=(40.0, 10.0, 1e-9, 5.0))
    assert "has no area" in dataset.problems[0].message


def test_unreadable_image_is_left_out(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    (tmp_path / "b.png").write_bytes(b"no image")
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert (len(dataset), dataset.problems[0].record) == (1, "image id 2")
    assert "cannot be opened as an image" in dataset.problems[0].message


def test_classes_asked_for_set_the_order_of_labels(tmp_path, write_voc):
    write_voc(tmp_path, "a", [("cat", (1, 1, 5, 5), 0), ("dog", (2, 2, 9, 9), 0), ("bird", (3, 3, 9, 9), 0)])
    dataset = open_dataset(tmp_path, classes=("dog", "horse", "cat"))
    assert dataset.classes == ("dog", "horse", "cat")
    assert dataset.records[0].labels.tolist() == [2, 0]
    assert dataset.category_ids == (3, 5, 2)  # the file's own, and a free one for the class that it does not have
    assert "1 objects of class 'bird' are left out" in dataset.problems[0].message


@pytest.mark.parametrize("classes", [("horse",), ("cat", "cat"), ()])
def test_classes_that_do_not_fit_are_refused(tmp_path, write_voc, classes):
    write_voc(tmp_path)
    with pytest.raises(DataError, match="expected distinct names, some of them among cat"):
        open_dataset(tmp_path, classes=classes)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (2.5, 2.5),
        (10**400, np.inf),
        (-(10**400), np.inf),
        ("1", None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_as_number(value, number):
    assert as_number(value) == number


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize(
    ("stated", "box", "size"),
    [
        (None, (50, 0, 12, 20), (64, 48)),  # reaches beyond the turned picture
        ((48, 64), (50, 0, 12, 20), (64, 48)),
        (None, (0, 45, 10, 18), (48, 64)),  # reaches beyond the stored one
        ((64, 48), (0, 45, 10, 18), (48, 64)),
        (None, (0, 0, 10, 20), (48, 64)),  # fits both
        (None, (50, 50, 12, 12), (48, 64)),  # fits neither
    ],
)
def test_of_the_two_frames_of_a_turned_picture_that_counts_which_the_boxes_fit(
    tmp_path, write_coco, write_image, orientation, stated, box, size
):
    dataset = dataset_of(tmp_path, write_coco, write_image, stated, orientation, box)
    assert (dataset.records[0].width, dataset.records[0].height) == size
    assert any("EXIF orientation" in problem.message for problem in dataset.problems)


def with_objects(tmp_path, write_coco, *objects):
    """objects: what their annotations have beside COCO's usual."""
    usual = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
    annotations = [{"id": number, **usual, **changes} for number, changes in enumerate(objects, start=1)]
    return open_dataset(write_coco(tmp_path / "train.json", annotations=annotations)).records[0]


@pytest.mark.parametrize("changes", [{"category_id": 99}, {"category_id": "cow"}, {"category_id": None}])
def test_the_place_of_an_object_of_an_unknown_class_is_of_nothing(tmp_path, write_coco, changes):
    record = with_objects(tmp_path, write_coco, {"bbox": [1, 2, 3, 4], **changes}, {})
    assert (record.regions.tolist(), record.is_complete, len(record.boxes)) == ([[1, 2, 4, 6]], True, 1)


def test_the_place_of_a_box_with_its_corners_swapped_is_known(tmp_path, write_coco):
    record = with_objects(tmp_path, write_coco, {"bbox": [30, 40, -10, -20]}, {})
    assert (record.regions.tolist(), record.is_complete, len(record.boxes)) == ([[20, 20, 30, 40]], True, 1)


@pytest.mark.parametrize(
    "box", [[float("nan"), 1, 2, 3], [1, 1, 0, 9], [100, 1, 5, 5], [1, 1, 2], None, [-9, -9, 3, 3], [70, 10, -3, 9]]
)
def test_an_object_that_is_nowhere_leaves_the_image_incomplete(tmp_path, write_coco, box):
    record = with_objects(tmp_path, write_coco, {"bbox": box}, {})
    assert (record.is_complete, record.regions.tolist(), len(record.boxes)) == (False, [[0, 0, 64, 48]], 1)


def test_labels_that_are_there_twice_count_once(tmp_path, write_coco):
    crowd, other = {"iscrowd": 1}, {"bbox": [1, 1, 5, 5]}
    record = with_objects(tmp_path, write_coco, {}, other, {}, {"category_id": 2}, other, {}, crowd, crowd)
    assert record.boxes.tolist() == [[10, 10, 30, 30], [1, 1, 6, 6], *[[10, 10, 30, 30]] * 3]
    assert record.labels.tolist() == [0, 0, 1, 0, 0]
    assert record.is_crowd.tolist() == [False, False, False, True, True]
    assert record.duplicate_of.tolist() == [0, 1, 0]


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("stated", [(64, 48), (48, 64), (128, 96)])
@pytest.mark.parametrize("box", [(0, 0, 10, 20), (50, 5, 10, 20), (5, 50, 20, 10)])
def test_a_picture_that_is_there_tells_the_frame_even_where_none_is_needed(
    tmp_path, write_coco, write_image, stated, orientation, box
):
    """Otherwise labels would be mined in another frame than they are trained in."""
    trained = dataset_of(tmp_path, write_coco, write_image, stated, orientation, box)
    mined = open_dataset(tmp_path / "train.json", need_pictures=False)
    assert [(r.width, r.height, r.boxes.tolist()) for r in mined.records] == [
        (r.width, r.height, r.boxes.tolist()) for r in trained.records
    ]
