import pytest

from hardmine.claims.regrouped import boxes_of_objects, only_surest, surest_is_most_accurate, without_surest

TRUTH = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 7}],
    "annotations": [
        {"image_id": 1, "category_id": 7, "bbox": [0, 0, 10, 10]},
        {"image_id": 1, "category_id": 7, "bbox": [50, 50, 10, 10]},
        {"image_id": 2, "category_id": 7, "bbox": [0, 0, 10, 10], "iscrowd": 1},
    ],
}


def found(bbox, score, image=1, category=7):
    return {"image_id": image, "category_id": category, "bbox": bbox, "score": score}


PREDICTIONS = [
    found([0, 0, 10, 10], 0.3),  # the most accurate of the first object
    found([0, 0, 10, 8], 0.9),  # its surest
    found([80, 80, 5, 5], 0.8),  # background
    found([50, 50, 10, 9], 0.2),  # the second object's only one
    found([0, 0, 10, 10], 0.7, category=8),  # another class
    found([0, 0, 10, 10], 0.6, image=2),  # on a crowd
]


def test_an_object_has_the_predictions_of_its_class_that_lie_on_it():
    groups = list(boxes_of_objects(TRUTH, PREDICTIONS))
    assert [[place for place, _ in group] for group in groups] == [[1, 0], [3]]
    assert [iou for _, iou in groups[0]] == pytest.approx([0.8, 1.0])


def test_only_the_surest_or_all_but_it_are_left():
    assert only_surest(TRUTH, PREDICTIONS) == [of for place, of in enumerate(PREDICTIONS) if place != 0]
    assert without_surest(TRUTH, PREDICTIONS) == [of for place, of in enumerate(PREDICTIONS) if place not in (1, 3)]


def test_scores_are_exchanged_and_nothing_else():
    changed = surest_is_most_accurate(TRUTH, PREDICTIONS)
    assert [of["score"] for of in changed] == [0.9, 0.3, 0.8, 0.2, 0.7, 0.6]
    assert [of["bbox"] for of in changed] == [of["bbox"] for of in PREDICTIONS]
    assert PREDICTIONS[0]["score"] == 0.3
