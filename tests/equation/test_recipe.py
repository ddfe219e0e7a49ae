"""Slots and papers."""

from hardmine import All, CrossEntropy, MaxIoU, Recipe, Slot
from hardmine.equation.normalize import PerPositive
from hardmine.recipes import HeadTraits, Paper


def test_what_a_slot_leaves_open_comes_from_the_default():
    sampling, loss, normalize, other = All(), CrossEntropy(), PerPositive(), CrossEntropy("sigmoid")
    default = Slot(sampling, loss, normalize)
    assert Slot().over(default) == default
    assert Slot(loss=other).over(default) == Slot(sampling, other, normalize)


def test_a_paper_is_one_line():
    assert str(Paper("A, B", "T", "V 2000")) == "A, B, T, V 2000"
    assert str(Paper("A, B", "T", "V 2000", "1234.5")) == "A, B, T, V 2000, arXiv:1234.5"


def test_a_recipe_is_silent_on_heads_that_it_is_not_for():
    recipe = Recipe("mine", lambda _: {"select": Slot(All())}, assign=lambda _: MaxIoU(), on=frozenset({"roi"}))
    roi, rpn = (HeadTraits("fasterrcnn", name, "softmax", 3, frozenset()) for name in ("roi", "rpn"))
    assert set(recipe.slots_on(roi)) == {"select"}
    assert isinstance(recipe.assigner_on(roi), MaxIoU)
    assert recipe.slots_on(rpn) == {}
    assert recipe.assigner_on(rpn) is None
