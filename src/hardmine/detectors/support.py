"""Which detectors take a recipe, what it sets there, and why others refuse it."""

from functools import cache

from torch import nn

from hardmine.detectors.torchvision import DETECTORS, build
from hardmine.detectors.wrap import wrap
from hardmine.equation.head import Head
from hardmine.errors import EvidenceError
from hardmine.recipes import Recipe
from hardmine.sampling import All

__all__ = ["heads_under", "parts_set"]


def heads_under(recipe: Recipe) -> dict[str, list[Head] | EvidenceError]:
    """The heads of every detector of `DETECTORS` under the recipe, or why the detector cannot take it."""
    return {detector: _heads(detector, recipe) for detector in DETECTORS}


def parts_set(recipe: Recipe) -> str:
    """Letters of the equation that the recipe sets on any head that takes it: "w Z", "t w ℓ Z", "" for none."""
    heads = [head for heads in heads_under(recipe).values() if isinstance(heads, list) for head in heads]
    letters = set().union(*(_letters(recipe, head) for head in heads))
    return " ".join(letter for letter in "twℓZ" if letter in letters)


def _heads(detector: str, recipe: Recipe) -> list[Head] | EvidenceError:
    try:
        modules = wrap(_model(detector), recipe).modules()
    except EvidenceError as error:
        return error
    return [module for module in modules if isinstance(module, Head)]


@cache
def _model(detector: str) -> nn.Module:
    """One small model of each kind, which no recipe changes."""
    return build(detector, 1, backbone="tiny")


def _letters(recipe: Recipe, head: Head) -> set[str]:
    slots = recipe.slots_on(head.traits).values()
    sets = {
        "t": recipe.assigner_on(head.traits) is not None,
        "w": any(not isinstance(slot.sampling, All | None) for slot in slots),
        "ℓ": any(slot.loss or slot.also for slot in slots),
        "Z": any(slot.normalize for slot in slots),
    }
    return {letter for letter, is_set in sets.items() if is_set}
