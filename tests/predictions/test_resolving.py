"""Images and classes, by what a data set itself calls them."""

import json

import numpy as np
import pytest

from hardmine.data import DetectionDataset
from hardmine.errors import ConfigError, DataError
from hardmine.predictions import Confirmed, as_coco_results, found_records, read_results, resolve, written_results


def one(**more):
    return found_records([{"category_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5, **more}], "mine")


def test_places_of_a_folder_are_no_ids(pets):
    with pytest.raises(DataError, match=r"mine, record 0: image_id 4 is not in the ground truth.*no ids of its own"):
        resolve(one(image_id=4), pets)
    assert resolve(one(image_id=10), pets)["image_id"].to_list() == [2]


def test_the_record_that_is_wrong_is_named(pets):
    records = [
        {"image_id": name, "category_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5} for name in ("1", "1", "x", "y")
    ]
    with pytest.raises(DataError, match=r"mine, record 2: image_id 'x' is not"):
        resolve(found_records(records, "mine"), pets)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"category_id": 2}, 2),
        ({"category_id": "eel"}, 2),
        ({"category_id": None, "label": "dog"}, 1),
        ({"category_id": 0, "category": "cat"}, 0),
    ],
)
def test_classes_are_found_by_id_or_name(pets, given, label):
    table = resolve(one(image_id="1", **given), pets)
    assert (table["category_id"].to_list(), table["category"].to_list()) == ([label], [pets.classes[label]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"category_id": 9}, r"category_id 9 is not in the ground truth \(it has \[0, 1, 2\]\)"),
        ({"category": "cow"}, r"category 'cow' is not in the ground truth \(it has \[cat, dog, eel\]\)"),
        ({"category": "cat"}, "category_id 1 and category 'cat' are two classes"),
    ],
)
def test_unknown_and_contradictory_classes_are_refused(pets, given, message):
    with pytest.raises(DataError, match=f"mine, record 0: {message}"):
        resolve(one(image_id="1", **given), pets)


def test_ids_are_those_of_the_data_set_whatever_they_look_like(record, folder_of):
    images = [record(n, f"{n}.jpg", own_id=own) for n, own in ((1, "uuid-a"), (2, 2**70), (3, "7"))]
    pets = folder_of(images, own_category_ids=("c-0", 2**64, 5))
    for place, (image, category) in enumerate((("uuid-a", "c-0"), (2**70, 2**64), (7, "5"))):
        table = resolve(one(image_id=image, category_id=category), pets)
        assert (table["image_id"].to_list(), table["category_id"].to_list()) == ([place + 1], [place])


@pytest.mark.parametrize("own_category_ids", [("c-0", "c-1", "c-2"), (0, 1, 2)], ids=["ids are texts", "by name"])
def test_classes_that_are_called_by_texts_are_not_counted(record, folder_of, own_category_ids):
    """Enough labels are met for the check of ids that are moved by one, which texts cannot be."""
    boxes = [(label % 3, 10 * label, 0, 10 * label + 8, 8) for label in range(6)]
    pets = folder_of([record(1, "a.jpg", boxes)], own_category_ids=own_category_ids)
    names = own_category_ids if isinstance(own_category_ids[0], str) else pets.classes
    found = [
        {"image_id": 1, "category_id": names[label], "bbox": [x1, y1, 8, 8], "score": 0.9}
        for label, x1, y1, *_ in boxes
    ]
    assert resolve(found_records(found, "mine"), pets)["category_id"].to_list() == [0, 1, 2, 0, 1, 2]


def test_a_number_is_an_id_even_if_a_class_is_called_so(record):
    digits = DetectionDataset("digits", "val", ("1", "2", "3"), (0, 1, 2), [record(1, "a.jpg")])
    with pytest.raises(DataError, match=r"category_id 3 is not in the ground truth \(it has \[0, 1, 2\]\)"):
        resolve(one(image_id=1, category_id=3), digits)
    named = DetectionDataset("digits", "val", ("1", "2", "3"), (0, 1, 2), digits.records, (), ("x", "y", "z"))
    assert resolve(one(image_id=1, category_id=3), named)["category"].to_list() == ["3"]


def test_aliases_are_the_same_image(record, folder_of):
    pets = folder_of([record(4, "a.jpg", aliases=(5, "x")), record(6, "b.jpg")])
    assert [resolve(one(image_id=own), pets)["image_id"][0] for own in (4, 5, "x", 6)] == [4, 4, 4, 6]


def test_an_offset_is_for_numbers(pets):
    assert resolve(one(image_id="1", category_id=3), pets, Confirmed(category_offset=-1))["category_id"].to_list() == [
        2
    ]
    with pytest.raises(ConfigError, match="'cow' is no number"):
        resolve(one(image_id="1", category_id="cow"), pets, Confirmed(category_offset=1))


@pytest.mark.parametrize(
    ("ids", "hint"),
    [((1, 3), "; with -1 on .*--category-offset=-1"), ((-1, 1), "; with .1 on .*--category-offset=1"), ((0, 3), "")],
)
def test_ids_that_fit_once_they_are_moved_are_told(pets, ids, hint):
    found = found_records(
        [{"image_id": "1", "category_id": own, "bbox": [0, 0, 4, 4], "score": 0.5} for own in ids], "mine"
    )
    with pytest.raises(DataError, match=rf"is not in the ground truth \(it has .*\){hint}$"):
        resolve(found, pets)


@pytest.mark.parametrize("changes", [{"is_numbered": True}, {"own_id": "a-uuid"}, {"own_id": 2**70}, {}])
def test_what_is_written_is_read_again(tmp_path, record, folder_of, changes):
    pets = folder_of([record(7, "sub/a.jpg", **changes), record(9, "b.jpg")], own_category_ids=("c", 1, 2.0))
    results = [{"image_id": 7, "category_id": n, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.25} for n in (0, 1, 2)]
    written = written_results(pets, results)
    (tmp_path / "found.json").write_text(json.dumps(written))
    assert read_results(tmp_path / "found.json", pets) == results
    assert all(("file_name" in entry) == ("is_numbered" in changes) for entry in written)


def test_no_prediction_is_a_table_without_rows(pets):
    table = resolve(found_records([], "mine"), pets)
    assert (len(table), as_coco_results(table)) == (0, [])


def test_names_in_one_folder_and_below_it_are_told_apart(record, folder_of):
    pets = folder_of([record(n, f, is_numbered=True) for n, f in enumerate(("a.jpg", "b/a.jpg", "c.jpg"), start=1)])
    results = [{"image_id": n, "category_id": 0, "bbox": [0.0, 0.0, 4.0, 4.0], "score": 0.5} for n in (2, 1, 3)]
    found = resolve(found_records(written_results(pets, results), "mine"), pets)
    assert found["image_id"].to_list() == [2, 1, 3]
    assert np.array_equal(found.select("x2", "y2").to_numpy(), np.full((3, 2), 4.0))
