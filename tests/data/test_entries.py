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
