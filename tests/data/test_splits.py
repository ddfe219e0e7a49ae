import pytest

from hardmine.data.splits import SPLIT_WORD, canonical_split, choose_split, order_splits
from hardmine.errors import DataError


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("instances_train2017", "train"),
        ("coco_val", "val"),
        ("VALID", "VALID"),
        ("trainval", "trainval"),
        ("test-dev", "test"),
        ("interval", None),
        ("latest", None),
        ("trainer", None),
        ("annotations", None),
    ],
)
def test_split_word_stands_alone(name, word):
    found = SPLIT_WORD.search(name)
    assert (found and found[0]) == word


def test_names_are_shortened_and_ordered():
    assert [canonical_split(name) for name in ("Valid", "training", "TEST", "Fold1")] == [
        "val",
        "train",
        "test",
        "Fold1",
    ]
    assert order_splits(["b", "test", "val", "a", "train"]) == ("train", "val", "test", "a", "b")


def test_split_is_asked_for_or_found():
    assert choose_split("val", "train", ("train", "val"), "here") == "val"
    assert choose_split("validation", None, ("train", "val"), "here") == "val"
    assert choose_split(None, "val", ("train", "val"), "here") == "val"
    assert choose_split(None, None, ("all",), "here") == "all"


@pytest.mark.parametrize(("asked", "got"), [(None, "no split was asked for"), ("test", "there is no split 'test'")])
def test_error_names_the_splits_there_are(asked, got):
    with pytest.raises(DataError, match=f"here: {got}; choose one of train, val"):
        choose_split(asked, None, ("train", "val"), "here")
