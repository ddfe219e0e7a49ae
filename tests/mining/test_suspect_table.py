"""What is listed, in which order, and what each label should perhaps be."""

import numpy as np
import pytest

from hardmine.mining.suspect_table import suspect_table
from hardmine.mining.suspects import Suspicion
from hardmine.mining.tables import mine


@pytest.fixture
def suspects(two_images, results):
    """The dog is taken for a cat, surely; the cat of the second image is not found; a cat stands on the third."""
    return mine(two_images, results).suspects


def test_suspects_come_with_what_they_should_be(suspects):
    assert suspects.select("kind", "image_id", "object", "prediction").rows() == [
        ("spurious", 9, 3, None),
        ("wrong class", 7, 1, 2),
        ("missing", 11, None, 5),
    ]
    assert suspects["probability"].to_list() == pytest.approx([1.0, 0.5625, 0.5])


def test_a_wrong_class_keeps_its_label_and_gets_a_better_one(suspects):
    row = suspects.row(1, named=True)
    assert (row["category"], row["suggested_category"], row["suggested_category_id"]) == ("dog", "cat", 5)
    assert [row[side] for side in ("x1", "y1", "x2", "y2")] == [20, 0, 30, 10]
    assert [row[f"suggested_{side}"] for side in ("x1", "y1", "x2", "y2")] == [20, 0, 30, 10]
    assert row["suggested_score"] == 0.75


def test_a_missing_label_has_no_box_and_a_spurious_one_no_better(suspects):
    assert suspects.row(2, named=True)["category"] is suspects.row(2, named=True)["x1"] is None
    assert suspects.row(0, named=True)["suggested_category"] is suspects.row(0, named=True)["suggested_x1"] is None


def test_a_label_is_listed_once_as_what_it_most_probably_is(two_images, results):
    moved = results[0] | {"bbox": [0, 0, 10, 4], "score": 0.5}
    suspects = mine(two_images, [moved]).suspects
    of_first = suspects.filter((suspects["object"] == 0).fill_null(False))
    assert of_first.select("kind", "probability", "suggested_y2").rows() == [("spurious", 0.5, None)]


def test_crowds_and_what_the_model_confirms_are_not_listed(suspects):
    assert not {0, 2} & set(suspects["object"])
    assert not {0, 3} & set(suspects["prediction"])


def test_a_wrong_class_is_one_only_if_a_prediction_says_the_right_one(two_images, results):
    """What is learnt from planted errors may call a class wrong that no prediction contradicts."""
    tables = mine(two_images, results)
    zero, nothing = np.zeros(4), np.full(4, -1)
    suspicion = Suspicion(
        missing=np.zeros(6),
        spurious=np.full(4, 0.3),
        wrong_class=np.array([0.9, 0.9, 0.0, 0.1]),
        badly_located=zero,
        own=nothing,
        other=np.array([-1, 2, -1, -1]),
        evidence=np.zeros((4, 4)),
    )
    listed = suspect_table(suspicion, tables.objects, tables.predictions)
    assert listed.select("object", "kind", "suggested_category").rows() == [
        (1, "wrong class", "cat"),
        (0, "spurious", None),
        (2, "spurious", None),
        (3, "spurious", None),
    ]
