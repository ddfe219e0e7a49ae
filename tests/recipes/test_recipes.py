"""Every recipe says what it is, and its names and parameters are those that `explain` prints."""

import inspect
from contextlib import suppress
from dataclasses import fields
from typing import get_args

import pytest
from torch import nn

from hardmine import RECIPES, Recipe, recipes
from hardmine.detectors.support import FAMILIES
from hardmine.detectors.torchvision.dense import EVIDENCE
from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import SLOTS, Kind
from hardmine.errors import EvidenceError
from hardmine.recipes import HeadTraits
from hardmine.training.recipe_names import make_recipe

UNPUBLISHED = {  # recipes without a number, and why
    "random": "the frameworks' own default, of which each detector has its own numbers",
    "hnm": "the paper has no ablation of the ratio",
    "seesaw": "our sources hold no numbers of it",
    "class_balanced": "the paper classifies images",
    "pixel_ohem": "we know of no pair of runs that differ in nothing else",
}
KINDS = get_args(Kind)
HEADS = [
    HeadTraits("retinanet", "dense", "sigmoid", 3, EVIDENCE),
    HeadTraits("ssd", "dense", "softmax", 3, EVIDENCE),
    HeadTraits("fasterrcnn", "rpn", "sigmoid", 3, EVIDENCE),
    HeadTraits("fasterrcnn", "roi", "softmax", 3, EVIDENCE),
    *FAMILIES.values(),
]


@pytest.fixture(params=list(RECIPES))
def name(request) -> str:
    return request.param


@pytest.fixture
def recipe(name) -> Recipe:
    return RECIPES[name]()


def test_names_are_the_keys(name, recipe):
    assert recipe.name == name
    assert getattr(recipes, name) is RECIPES[name]
    assert name in recipes.__all__


def test_it_says_what_it_is(name, recipe):
    for field in ("title", "summary", "equation", "differences"):
        assert getattr(recipe, field), field
    assert recipe.paper is not None
    assert str(recipe.paper).endswith(f"arXiv:{recipe.paper.arxiv}")
    assert bool(recipe.published) == bool(recipe.gain) != (name in UNPUBLISHED)
    assert recipe.kind in KINDS
    for line in (*recipe.published, *recipe.differences):
        assert isinstance(line, str)
        assert len(line) > 20


def test_parameters_are_those_of_the_function(name, recipe):
    signature = inspect.signature(RECIPES[name])
    assert dict(recipe.parameters) == {key: parameter.default for key, parameter in signature.parameters.items()}
    documentation = RECIPES[name].__doc__
    for key in signature.parameters:
        assert key in documentation


def test_a_parameter_given_is_the_one_shown(name):
    for key, default in RECIPES[name]().parameters.items():
        other = 7 if isinstance(default, int) or default is None else 0.125
        assert RECIPES[name](**{key: other}).parameters[key] == other


@pytest.mark.parametrize("head", HEADS, ids=lambda head: f"{head.detector} {head.name}")
def test_it_fills_known_slots(recipe, head):
    assert set(recipe.slots(head)) <= set(SLOTS)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: f"{head.detector} {head.name}")
def test_two_heads_do_not_share_parts(recipe, head):
    """State that a method keeps must not run from one head into another."""
    first, second = recipe.slots(head), recipe.slots(head)
    for key, slot in first.items():
        for field in fields(slot):
            part = getattr(slot, field.name)
            if isinstance(part, nn.Module):
                assert part is not getattr(second[key], field.name), (key, field.name)


def test_what_is_tuned_are_options_and_values_that_it_takes(name, recipe):
    """Few enough for a grid, and made as the command line would make them."""
    assert len(recipe.tuned) <= 3
    for option, values in recipe.tuned.items():
        assert option in inspect.signature(RECIPES[name]).parameters
        assert recipe.parameters[option] in values
        assert 2 <= len(set(values)) == len(values) <= 6
        for value in values:
            tuned = make_recipe(name, {option: value})
            assert tuned.parameters[option] == value
            for head in HEADS:
                with suppress(EvidenceError):  # made for the other kind of samples
                    tuned.slots_on(head)


def test_only_what_has_nothing_to_tune_names_nothing():
    assert {name for name, make in RECIPES.items() if not make().tuned} == {"random", "ce"}


@pytest.mark.parametrize("part", ["isr", "carl", "pisa"])
@pytest.mark.parametrize("head", [head for head in HEADS if head.name == "dense"], ids=lambda head: head.detector)
def test_prime_samples_of_a_dense_head_are_counted_over_the_batch(part, head):
    """Where images are divided one by one, ranks over the batch would mix what counts differently."""
    slots = RECIPES[part]().slots(head)
    for name in ("classify", "regress"):
        normalize = slots[name].normalize
        assert isinstance(normalize, PerPositive)
        assert normalize.over == "ranks"


def test_ohem_keeps_more_of_a_one_stage_detector_unless_told():
    kept = {head.name: RECIPES["ohem"](nms_iou=None).slots(head)["select"].sampling.budget for head in HEADS}
    assert kept == {"dense": 256, "soft": 256, "rpn": 64, "roi": 64, "set": 64, "pixels": 64}
    assert {RECIPES["ohem"](budget=17).slots(head)["select"].sampling.budget for head in HEADS} == {17}
