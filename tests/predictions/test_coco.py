"""COCO's own forms."""

import pytest

from hardmine.predictions import coco

ANNOTATION = {"image_id": 7, "category_id": 3, "bbox": [0, 0, 4, 4], "score": 0.5}


def test_ids_that_a_file_explains_itself_become_names():
    document = {
        "images": [{"id": "7", "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [ANNOTATION],
    }
    row = coco.read(document, "x", None).rows.row(0, named=True)
    assert (row["image_id"], row["file_name"], row["category_id"], row["category"]) == (None, "a.jpg", None, "cat")


def test_classes_of_one_name_are_told_apart_as_in_a_data_set():
    categories = [{"id": number, "name": name} for number, name in ((1, "cat"), (2, "dog"), (3, "cat"))]
    annotations = [ANNOTATION | {"category_id": number} for number in (1, 2, 3)]
    found = coco.read({"categories": categories, "annotations": annotations}, "x", None)
    assert found.rows["category"].to_list() == ["cat", "dog", "cat (id 3)"]


def test_ids_that_it_does_not_explain_stay():
    row = coco.read({"annotations": [ANNOTATION]}, "x", None).rows.row(0, named=True)
    assert (row["image_id"], row["file_name"], row["category_id"]) == ("7", None, "3")


def test_one_record_is_a_file_of_one_line():
    assert coco.read(ANNOTATION, "x", None).rows.equals(coco.read([ANNOTATION], "x", None).rows)


@pytest.mark.parametrize("document", [[], [ANNOTATION], ANNOTATION, {"annotations": []}])
def test_lists_and_data_sets_fit(document):
    assert coco.fits(document)


@pytest.mark.parametrize("document", [[{"data": {}}], {"labels": {}}, "text", None])
def test_other_documents_do_not(document):
    assert not coco.fits(document)
