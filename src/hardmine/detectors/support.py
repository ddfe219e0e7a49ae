"""Which detectors take a recipe, what it sets there, and why others refuse it."""

from functools import cache

from torch import nn

from hardmine.detectors.torchvision import DETECTORS, build
from hardmine.detectors.traits import pixel_traits, set_traits, soft_traits
from hardmine.detectors.wrap import wrap
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.head import Head
from hardmine.equation.pixel_head import PixelHead
from hardmine.errors import EvidenceError
from hardmine.recipes import HeadTraits, Recipe
from hardmine.sampling import All

__all__ = ["FAMILIES", "Heads", "heads_under", "parts_set"]

Heads = list[Head] | list[FrameworkHead] | list[PixelHead]

FAMILIES: dict[str, HeadTraits] = {
    "YOLO": soft_traits("YOLO", 1),
    "RT-DETR": set_traits("RT-DETR", 1),
    "DETR": set_traits("DETR", 1, "softmax"),
    "pixels": pixel_traits("segmenter", 2),
}
"""The heads of other frameworks' detectors: of ultralytics; of RT-DETR, D-FINE, RF-DETR and the like, whose scores are
sigmoid ones; of DETR, YOLOS and Table Transformer, with softmax ones; and of segmenters, whosever. No framework is
needed to ask them."""


def heads_under(recipe: Recipe) -> dict[str, Heads | EvidenceError]:
    """The heads of every detector of `DETECTORS` and `FAMILIES` under the recipe, or why it cannot take it."""
    ours = {detector: _heads(detector, recipe) for detector in DETECTORS}
    return ours | {family: _family_head(traits, recipe) for family, traits in FAMILIES.items()}


def parts_set(recipe: Recipe) -> str:
    """Letters of the equation that the recipe sets on any head that takes it: "w Z", "t w ℓ Z", "" for none."""
    taken = [heads for heads in heads_under(recipe).values() if not isinstance(heads, EvidenceError)]
    letters = set().union(*(_letters(recipe, head.traits) for heads in taken for head in heads))
    return " ".join(letter for letter in "twℓZ" if letter in letters)


def _heads(detector: str, recipe: Recipe) -> list[Head] | EvidenceError:
    try:
        modules = wrap(_model(detector), recipe).modules()
    except EvidenceError as error:
        return error
    return [module for module in modules if isinstance(module, Head)]


def _family_head(traits: HeadTraits, recipe: Recipe) -> list[FrameworkHead] | list[PixelHead] | EvidenceError:
    try:
        return [FrameworkHead(traits, recipe)] if traits.is_framework else [PixelHead(traits, recipe)]
    except EvidenceError as error:
        return error


@cache
def _model(detector: str) -> nn.Module:
    """One small model of each kind, which no recipe changes."""
    return build(detector, 1, backbone="tiny")


def _letters(recipe: Recipe, head: HeadTraits) -> set[str]:
    slots = recipe.slots_on(head).values()
    sets = {
        "t": recipe.assigner_on(head) is not None,
        "w": any(not isinstance(slot.sampling, All | None) for slot in slots),
        "ℓ": any(slot.loss or slot.also for slot in slots),
        "Z": any(slot.normalize for slot in slots),
    }
    return {letter for letter, is_set in sets.items() if is_set}
