"""The usual mistakes are named, and what is only a bad model is not."""

from dataclasses import replace

import numpy as np
import pytest

from hardmine.data import DetectionDataset
from hardmine.errors import DataError
from hardmine.predictions import BOX_FORMATS, Confirmed, found_records, resolve

SIZES = [(640, 480), (500, 375), (320, 640)]


@pytest.fixture
def a_data_set(record, folder_of):
    """Makes a data set of images of several sizes with four objects each."""
    return lambda num_classes=3: make(record, folder_of, num_classes)


def make(record, folder_of, num_classes, num=12, seed=0):
    rng = np.random.default_rng(seed)
    images = []
    for number in range(num):
        width, height = SIZES[number % len(SIZES)]
        corner = rng.uniform(0, (width * 0.6, height * 0.6), (4, 2))
        sides = rng.uniform(0.1, 0.35, (4, 2)) * (width, height)
        labels = np.arange(number, number + 4)[:, None] % num_classes
        objects = np.hstack([labels, corner, corner + sides])
        images.append(record(number + 1, f"{number}.jpg", objects, width=width, height=height))
    return folder_of(images, category_ids=tuple(range(num_classes)))


def exact(dataset, box_format="xyxy", change=lambda box, size: box, category=lambda label: label):
    """A prediction on each object, as somebody writes it."""
    records = []
    for image in dataset.records:
        size = np.array([image.width, image.height], dtype=float)
        for box, label in zip(image.boxes.astype(float), image.labels.tolist(), strict=True):
            written = as_format(change(box, size), box_format, size)
            records.append(
                {"image_id": image.image_id, "category_id": category(label), "bbox": written.tolist(), "score": 0.9}
            )
    return records


def as_format(box, box_format, size):
    first, last = box[:2], box[2:]
    form = box_format.removesuffix("n")
    parts = {"xyxy": (first, last), "xywh": (first, last - first), "cxcywh": ((first + last) / 2, last - first)}[form]
    return np.concatenate(parts) / (np.tile(size, 2) if box_format.endswith("n") else 1)


@pytest.mark.parametrize("given", BOX_FORMATS)
@pytest.mark.parametrize("truth", BOX_FORMATS)
def test_another_box_format_is_named(given, truth, a_data_set):
    dataset = a_data_set()
    found = found_records(exact(dataset, truth), "mine.json", given)
    if given == truth:
        assert len(resolve(found, dataset)) == 48
        return
    with pytest.raises(DataError, match=rf"mine\.json: boxes taken as {truth} meet 100% .*given \({given}\)") as error:
        resolve(found, dataset)
    assert f"give --box-format {truth}" in str(error.value)
    assert f"confirm what they are with --box-format {given}" in str(error.value)
    assert len(resolve(found, dataset, Confirmed(box_format=truth))) == 48
    assert len(resolve(found, dataset, Confirmed(box_format=given))) == 48


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda box, size: box * np.tile(640 / size, 2), "stretched to 640x640"),
        (lambda box, size: box * 320 / size.max(), "longer side of 320"),
        (lambda box, size: box * 800 / size.min(), "shorter side of 800"),
        (lambda box, size: (box - np.tile(size, 2) / 2) * 640 / size.max() + 320, "padded to 640x640"),
    ],
)
def test_another_size_of_the_images_is_named(change, words, a_data_set):
    dataset = a_data_set()
    with pytest.raises(DataError, match=f"{words} meet 100%.*bring them to x, y in pixels"):
        resolve(found_records(exact(dataset, "xywh", change), "mine.json"), dataset)


@pytest.mark.parametrize(
    ("change", "box_format", "words"),
    [
        (lambda box, size: box[[1, 0, 3, 2]], "xyxy", "xyxy with y before x"),  # TensorFlow, Matterport
        (lambda box, size: (box / np.tile(size, 2))[[1, 0, 3, 2]], "xyxy", "xyxyn with y before x"),
        (lambda box, size: box[[1, 0, 3, 2]], "cxcywh", "cxcywh with y before x"),
        (lambda box, size: box * 100 / np.tile(size, 2), "xywh", "xywh in percent of the image"),
        (lambda box, size: box * 100 / np.tile(size, 2), "xyxy", "xyxy in percent of the image"),
        (lambda box, size: box / 2, "xywh", "pixels of images scaled by 0.5"),
        (lambda box, size: box * 4, "xywh", "pixels of images scaled by 4"),
    ],
)
def test_another_order_or_unit_is_named(change, box_format, words, a_data_set):
    dataset = a_data_set()
    with pytest.raises(DataError, match=f"taken as {words} meet 100% .*bring them to x, y in pixels"):
        resolve(found_records(exact(dataset, box_format, change), "mine.json"), dataset)


@pytest.mark.parametrize(("moved", "is_told"), [(0.0, False), (0.1, False), (1.3, True)])
def test_predictions_that_meet_hardly_a_label_are_told(a_data_set, caplog, moved, is_told):
    """Nothing says why: another data set, a turned picture, a bad model."""
    dataset = a_data_set()
    found = found_records(exact(dataset, "xywh", lambda box, size: box + moved * np.tile(box[2:] - box[:2], 2)), "mine")
    assert len(resolve(found, dataset)) == 48
    assert ("mine: of 48 labels 0% are met" in caplog.text) == is_told
    caplog.clear()
    resolve(found, dataset, Confirmed("xywh"))
    assert caplog.text == ""


def test_predictions_of_one_class_alone_are_not_moved_by_one(record, folder_of):
    """Region proposals are all of one class, and which one says nothing of the others."""
    boxes = [(0 if place == 0 else 1, 10 * place, 0, 10 * place + 8, 8) for place in range(6)]
    dataset = folder_of([record(number, f"{number}.jpg", boxes) for number in range(4)])
    found = exact(dataset, "xywh", category=lambda label: 0)
    assert len(resolve(found_records(found, "mine"), dataset)) == 24
    shifted = exact(dataset, "xywh", category=lambda label: label - 1)
    with pytest.raises(DataError, match="--category-offset=1"):
        resolve(found_records(shifted, "mine"), dataset)


@pytest.mark.parametrize("offset", [-1, 1])
@pytest.mark.parametrize("num_classes", [1, 2, 3])
def test_classes_that_are_shifted_by_one_are_named(offset, num_classes, a_data_set):
    dataset = a_data_set(num_classes=num_classes)
    found = found_records(exact(dataset, "xywh", category=lambda label: label + offset), "mine.json")
    with pytest.raises(DataError, match=rf"with [+]?{-offset} on each category id 100% .*--category-offset={-offset}"):
        resolve(found, dataset)
    assert resolve(found, dataset, Confirmed(category_offset=-offset))["category_id"].max() == num_classes - 1


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0), (1, 0, 3, 2), (0, 2, 1, 4, 3)])
@pytest.mark.parametrize("num", [12, 13, 14])
def test_classes_in_another_order_are_named(record, order, num):
    """Also where a third of the labels has the right class, for one class is at its place."""
    made = make(record, lambda images, **_: images, len(order), num)
    names = [f"class {label}" for label in range(len(order))]
    dataset = DetectionDataset("set", "val", names, range(len(order)), made)
    found = found_records(exact(dataset, "xywh", category=lambda label: order[label]), "mine")
    with pytest.raises(DataError, match=r"100% would if the classes were in another order; write the names"):
        resolve(found, dataset)
    assert len(resolve(found, dataset, Confirmed(category_offset=0))) == 4 * num


def test_two_classes_that_are_often_confused_are_in_order(a_data_set):
    """That is for mining to say: most labels have the predicted class."""
    dataset = a_data_set()
    confused = exact(dataset, "xywh", category=lambda label: label)
    confused = [r | {"category_id": [1, 0, 2][r["category_id"]]} if n % 3 else r for n, r in enumerate(confused)]
    assert len(resolve(found_records(confused, "mine"), dataset)) == 48


def test_the_shift_is_seen_where_the_last_class_is_missing(a_data_set):
    """Every id exists, so nothing but the labels can tell."""
    dataset = a_data_set()
    records = [r for r in exact(dataset, "xywh", category=lambda label: label + 1) if r["category_id"] < 3]
    with pytest.raises(DataError, match="category-offset=-1"):
        resolve(found_records(records, "mine"), dataset)


@pytest.mark.parametrize(
    ("meant", "first", "changes"),
    [
        ("the numbers that files are called by", 0, {}),  # files are called from 0 on, ids count from 1 on
        ("places in the list of images, from 0 on", 0, {"is_numbered": True}),
        ("places in the list of images, from 1 on", 1, {"is_numbered": True}),
    ],
)
def test_ids_of_other_images_are_named(record, a_data_set, folder_of, meant, first, changes):
    """Without the first image every number is one of another image, so nothing but the labels can tell."""
    made = a_data_set()
    stem = 3 if changes else 0  # of the first file
    images = [replace(r, file=r.file.with_name(f"{n + stem:03}.jpg"), **changes) for n, r in enumerate(made.records)]
    dataset = folder_of(images)
    records = [r | {"image_id": r["image_id"] - 1 + first} for r in exact(dataset, "xywh") if r["image_id"] in IDS]
    with pytest.raises(DataError, match=rf"mine: with image ids taken as {meant} 100% .*write file_name") as error:
        resolve(found_records(records, "mine"), dataset)
    assert "--box-format xywh" in str(error.value)
    assert len(resolve(found_records(records, "mine"), dataset, Confirmed("xywh"))) == len(records)


IDS = range(5, 10)


def test_a_bad_model_is_not_a_mistake_of_the_file(a_data_set):
    dataset = a_data_set()
    rng = np.random.default_rng(1)
    for _ in range(20):
        spread = rng.uniform((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1))
        moved = exact(dataset, "xywh", lambda box, size, at=spread: at * np.tile(size, 2))
        assert len(resolve(found_records(moved, "mine"), dataset)) == 48
        wrong = exact(dataset, "xywh", category=lambda label: int(rng.integers(3)))
        assert len(resolve(found_records(wrong, "mine"), dataset)) == 48
    collapsed = exact(dataset, "xywh", category=lambda label: 0)
    assert len(resolve(found_records(collapsed, "mine"), dataset)) == 48


def test_a_few_labels_are_no_evidence(record, folder_of):
    dataset = folder_of([record(1, "a.jpg", [(0, 8, 8, 24, 16), (1, 30, 2, 40, 12)])])
    found = found_records(exact(dataset, "xyxy"), "mine", "xywh")
    assert len(resolve(found, dataset)) == 2


def test_an_offset_that_leaves_a_class_unknown_is_not_recommended(a_data_set):
    """Places in the list of classes, on ids with a gap: moved by one most fit, and the last does not exist."""
    dataset = a_data_set()
    gaps = type(dataset)("pets", "val", dataset.classes, (1, 2, 90), dataset.records)
    with pytest.raises(DataError, match=r"category_id 0 is not in the ground truth|another order"):
        resolve(found_records(exact(dataset, "xywh"), "mine"), gaps)
