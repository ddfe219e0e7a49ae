"""Slots and papers."""

from hardmine import All, CrossEntropy, Slot
from hardmine.normalize import PerPositive
from hardmine.recipes import Paper


def test_what_a_slot_leaves_open_comes_from_the_default():
    sampling, loss, normalize, other = All(), CrossEntropy(), PerPositive(), CrossEntropy("sigmoid")
    default = Slot(sampling, loss, normalize)
    assert Slot().over(default) == default
    assert Slot(loss=other).over(default) == Slot(sampling, other, normalize)


def test_a_paper_is_one_line():
    assert str(Paper("A, B", "T", "V 2000")) == "A, B, T, V 2000"
    assert str(Paper("A, B", "T", "V 2000", "1234.5")) == "A, B, T, V 2000, arXiv:1234.5"
