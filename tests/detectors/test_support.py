"""Which detectors take a recipe, what it sets there, and why others do not."""

import subprocess
import sys

import pytest

from hardmine import RECIPES
from hardmine.detectors import DETECTORS
from hardmine.detectors.support import FAMILIES, heads_under, parts_set
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.pixel_head import PixelHead
from hardmine.errors import EvidenceError

SIGMOID_ONLY = {"qfl", "vfl", "mal", "ia_bce", "eqlv2", "efl", "ap_loss", "alrp", "rs_loss", "dr_loss"}
OWN_BOX_LOSS, OWN_ASSIGNER = {"gfl", "libra"}, {"max_iou", "atss", "fcos", "tood", "simota"}
OF_PIXELS = {"pixel_ohem"}
REFUSED = {
    "YOLO": {"ohem", "seesaw"} | OWN_BOX_LOSS | OF_PIXELS,
    "RT-DETR": {"ohem", "seesaw"} | OWN_BOX_LOSS | OWN_ASSIGNER | OF_PIXELS,
    "DETR": {"ohem"} | OWN_BOX_LOSS | OWN_ASSIGNER | SIGMOID_ONLY | OF_PIXELS,
    "pixels": set(RECIPES) - {"random", "ce", "focal", "class_balanced", "ghm"} - OF_PIXELS,
}


@pytest.mark.parametrize(
    ("name", "letters"), [("random", ""), ("focal", "ℓ Z"), ("hnm", "w Z"), ("ohem", "w ℓ Z"), ("atss", "t")]
)
def test_the_letters_of_the_equation_that_a_recipe_sets(name, letters):
    assert parts_set(RECIPES[name]()) == letters


def test_every_detector_has_its_heads_or_a_reason():
    found = heads_under(RECIPES["ohem"]())
    assert list(found) == [*DETECTORS, *FAMILIES]
    assert [head.traits.name for head in found["fasterrcnn"]] == ["rpn", "roi"]
    assert [head.traits.name for head in found["cascadercnn"]] == ["rpn", "roi", "roi", "roi"]
    assert [head.traits.name for head in found["fastrcnn"]] == ["roi"]
    assert isinstance(found["fcos"], EvidenceError)
    assert "'select' of fcos" in str(found["fcos"])


@pytest.mark.parametrize("family", list(FAMILIES))
def test_heads_of_other_frameworks_take_a_recipe_or_say_which_part_does_not_fit(family):
    under = {name: heads_under(make())[family] for name, make in RECIPES.items()}
    refusals = {name: error for name, error in under.items() if isinstance(error, EvidenceError)}
    assert set(refusals) == REFUSED[family]
    for name, error in refusals.items():
        if family == "pixels" or name in OF_PIXELS:
            assert "needs samples that are" in str(error)
            continue
        slot = next(
            slot for slot in ("assign", "select", "classify", "regress") if f"{slot!r} of {family}" in str(error)
        )
        part = RECIPES[name]().assign(FAMILIES[family]) if slot == "assign" else _part_that(error, name, family, slot)
        assert part is not None
    for heads in under.values():
        kind = PixelHead if family == "pixels" else FrameworkHead
        assert isinstance(heads, EvidenceError) or [type(head) for head in heads] == [kind]


def _part_that(error: EvidenceError, name: str, family: str, slot: str) -> str | None:
    filled = RECIPES[name]().slots_on(FAMILIES[family])[slot]
    named = {type(part).__name__ for part in (filled.sampling, filled.loss, filled.normalize, filled.also)}
    return next((part for part in named if part in str(error)), None)


def test_a_recipe_that_is_taken_does_something_there():
    """Two recipes of different names must not be one: what is left of each differs from the framework's own."""
    for name, make in RECIPES.items():
        for heads in (heads_under(make())[family] for family in FAMILIES):
            if isinstance(heads, list) and isinstance(heads[0], FrameworkHead):
                assert heads[0].is_untouched == (name == "random")


def test_no_framework_is_imported_to_say_so():
    assert not {"ultralytics", "transformers", "rfdetr"} & _imported_by("heads_under(hardmine.recipes.random())")


def _imported_by(call: str) -> set[str]:
    code = f"import sys, hardmine; from hardmine.detectors.support import heads_under; {call}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
