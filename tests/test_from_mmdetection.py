"""What docs/from-mmdetection.md says is here is here: every `Class(argument)` and every recipe."""

import inspect
import re
from pathlib import Path

import pytest

from hardmine import RECIPES, losses, sampling
from hardmine.detectors.torchvision.cascade import StageSettings
from hardmine.equation import normalize, recipe

TEXT = (Path(__file__).parents[1] / "docs" / "from-mmdetection.md").read_text()
HERE = [line.rstrip("|").rpartition("|")[2] for line in TEXT.splitlines() if line.startswith("| ")]
KNOWN = {**vars(sampling), **vars(losses), **vars(recipe), **vars(normalize), "StageSettings": StageSettings}


@pytest.mark.parametrize(
    "named", sorted({pair for cell in HERE for pair in re.findall(r"`([A-Z]\w+)\((\w+)\)`", cell)})
)
def test_a_class_has_the_argument(named):
    name, argument = named
    assert argument in inspect.signature(KNOWN[name]).parameters


@pytest.mark.parametrize("name", sorted({name for cell in HERE for name in re.findall(r"`([A-Z]\w+)`", cell)}))
def test_a_class_is_there(name):
    assert inspect.isclass(KNOWN[name])


RECIPE = r"recipes? ((?:`\w+`(?:, | and )?)+)"
NAMED = {name for cell in HERE for names in re.findall(RECIPE, cell) for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_recipe_is_there(name):
    assert name in RECIPES


def test_something_was_found():
    assert len(NAMED) > 10
