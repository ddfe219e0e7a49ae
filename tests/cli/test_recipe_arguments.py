import pytest

from hardmine.cli.recipe_arguments import parse_recipe, parse_recipes
from hardmine.comparison.compare import RecipeChoice
from hardmine.errors import ConfigError


def test_commas_separate_recipes_and_options():
    assert parse_recipes("random,ohem:budget=32,nms_iou=0.5,hnm") == [
        RecipeChoice("random"),
        RecipeChoice("ohem", {"budget": 32, "nms_iou": 0.5}),
        RecipeChoice("hnm"),
    ]
    assert parse_recipes(" random, hnm ") == [RecipeChoice("random"), RecipeChoice("hnm")]


def test_options_have_the_types_of_the_recipe():
    assert parse_recipe("ohem:nms_iou=none").options == {"nms_iou": None}
    budget = parse_recipe("ohem:budget=32").options["budget"]
    assert (budget, type(budget)) == (32, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ohme", "unknown recipe 'ohme'; did you mean ohem"),
        ("zzz", "unknown recipe 'zzz'; there are: random, "),
        ("", "unknown recipe ''"),
        ("ohem:budgte=3", "unknown option of recipe ohem, 'budgte'; did you mean budget"),
        ("random:budget=3", "unknown option of recipe random, 'budget'; there are: num"),
        ("s_ohem:budget=many", "recipe s_ohem, option budget: expected int, got 'many'"),
        ("s_ohem:budget", "recipe s_ohem, option budget: expected int, got ''"),
        ("ohem:nms_iou=x", r"recipe ohem, option nms_iou: expected float \| None, got 'x'"),
        ("focal:gamma=nan", "recipe focal, option gamma: expected float, got 'nan'"),
        ("focal:gamma=inf", "recipe focal, option gamma: expected float, got 'inf'"),
        ("ghm:bins=99999999999999999999", "recipe ghm, option bins: expected int, got '99999999999999999999'"),
        ("libra:bins=1,bins=2", "recipe libra: option bins is given more than once"),
    ],
)
def test_what_is_no_recipe_is_refused_with_the_remedy(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(text)


def test_an_empty_part_is_refused():
    with pytest.raises(ConfigError, match="unknown recipe ''"):
        parse_recipes("random,,hnm")
