"""What detection says beyond what runs and comparisons are tested by."""

import pytest

from hardmine.training.tasks import DETECTION


@pytest.mark.parametrize(("ap", "is_said"), [([0.0, 0.009], True), ([0.0, 0.01], False), ([None], True)])
def test_recipes_that_find_next_to_nothing_have_hardly_learnt(ap, is_said):
    said = DETECTION.hardly_learnt([{"ap": value} for value in ap])
    assert (said == "No recipe has an AP of 0.01") == is_said
