"""Records as Python has them: whatever numbers they are made of, and what is no record."""

import numpy as np
import pytest
import torch

from hardmine.errors import DataError
from hardmine.predictions import checked_record, found_records

GOOD = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 40], "score": 0.5}


@pytest.mark.parametrize(
    "number",
    [int, float, np.int64, np.float32, np.float64, torch.tensor, lambda value: torch.tensor(float(value)), np.array],
)
def test_numbers_of_numpy_and_torch_are_numbers(number):
    box = [number(value) for value in GOOD["bbox"]]
    record = checked_record(
        {"image_id": number(1), "category_id": number(2), "bbox": box, "score": torch.tensor(0.5)}, "here"
    )
    assert (record.image_id, record.category_id, record.box, record.score) == ("1", "2", (1, 2, 30, 40), 0.5)


@pytest.mark.parametrize("box", [np.array([1, 2, 30, 40]), torch.tensor([1.0, 2, 30, 40]), (1, 2, 30, 40)])
def test_a_box_may_be_an_array(box):
    assert checked_record(GOOD | {"bbox": box}, "here").box == (1, 2, 30, 40)


@pytest.mark.parametrize("name", ["category", "category_name", "label", "class_name"])
def test_names_are_enough(name):
    record = checked_record({"file_name": "a.jpg", name: "cat", "bbox": [0, 0, 1, 1], "score": 1}, "here")
    assert (record.image_id, record.file_name, record.category_id, record.category) == (None, "a.jpg", None, "cat")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": None}, "image_id None is not an id"),
        ({"image_id": 1.5}, "image_id 1.5 is not an id"),
        ({"image_id": [1]}, r"image_id \[1\] is not an id"),
        ({"category_id": True}, "category_id True is not an id"),
        ({"bbox": np.zeros(3)}, "bbox must be finite numbers"),
        ({"bbox": [1, 2, None, 4]}, "bbox must be finite numbers"),
        ({"bbox": torch.tensor([1, 2, torch.nan, 4])}, "bbox must be finite numbers"),
        ({"score": torch.tensor([0.5, 0.5])}, "score must be a finite number"),
        ({"score": np.float32("nan")}, "score must be a finite number"),
    ],
)
def test_what_is_no_number_or_id_is_named(change, message):
    with pytest.raises(DataError, match=f"^mine, record 1: {message}"):
        found_records([GOOD, GOOD | change], "mine")


def test_corners_may_come_in_any_order_of_size():
    assert checked_record(GOOD | {"bbox": [30, 40, 1, 2]}, "here", "xyxy").box == (30, 40, 1, 2)
