"""Which detectors take a recipe, and what it sets there."""

import pytest

from hardmine import RECIPES
from hardmine.detectors import DETECTORS
from hardmine.detectors.support import heads_under, parts_set
from hardmine.errors import EvidenceError


@pytest.mark.parametrize(("name", "letters"), [("random", ""), ("focal", "ℓ Z"), ("hnm", "w Z"), ("ohem", "w ℓ Z")])
def test_the_letters_of_the_equation_that_a_recipe_sets(name, letters):
    assert parts_set(RECIPES[name]()) == letters


def test_every_detector_has_its_heads_or_a_reason():
    found = heads_under(RECIPES["ohem"]())
    assert list(found) == list(DETECTORS)
    assert [head.traits.name for head in found["fasterrcnn"]] == ["rpn", "roi"]
    assert [head.traits.name for head in found["cascadercnn"]] == ["rpn", "roi", "roi", "roi"]
    assert [head.traits.name for head in found["fastrcnn"]] == ["roi"]
    assert isinstance(found["fcos"], EvidenceError)
    assert "'select' of fcos" in str(found["fcos"])
