"""Recipes as text: `ohem`, `ohem:budget=64,nms_iou=0.5`, and several of them apart by commas.

A part with `=` and without `:` is one more option of the recipe before it, so both kinds of comma can be told apart:
`random,ohem:budget=64,nms_iou=0.5,hnm` is three recipes. Names and types of the options are those of the recipe
function. `mypackage:near_misses:alpha=2` is a recipe of an installed package.
"""

import math
import types
import typing
from collections.abc import Callable
from typing import Any

from hardmine.comparison import RecipeChoice
from hardmine.errors import ConfigError, check_name
from hardmine.recipes import RECIPES
from hardmine.training.recipe_names import find_recipe, option_types

__all__ = ["parse_recipe", "parse_recipes"]

LARGEST = 2**31 - 1  # number of anything that is counted; tensors cannot hold much more


def parse_recipes(text: str) -> list[RecipeChoice]:
    """Several recipes: `random,ohem:budget=64,nms_iou=0.5`.

    Raises:
        ConfigError: an unknown recipe or option (with the nearest names), or a value that its option cannot take.
    """
    recipes: list[str] = []
    for part in text.split(","):
        if recipes and "=" in part and ":" not in part:
            recipes[-1] += f",{part}"
        else:
            recipes.append(part)
    return [parse_recipe(recipe) for recipe in recipes]


def parse_recipe(text: str) -> RecipeChoice:
    """One recipe: `ohem:budget=64,nms_iou=0.5`. Raises ConfigError, as `parse_recipes`."""
    name, options = _name_and_options(text.strip())
    find_recipe(name)
    pairs = [option.strip().partition("=") for option in options.split(",")] if options else []
    keys = [key for key, _, _ in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"recipe {name}: option {twice} is given more than once")
    return RecipeChoice(name, {key: _option_value(name, key, value) for key, _, value in pairs})


def _name_and_options(text: str) -> tuple[str, str]:
    """`ohem`, `mypackage:near_misses`, and what stands behind the next colon."""
    first, _, rest = text.partition(":")
    if first in RECIPES or not rest:
        return first, rest
    own, _, options = rest.partition(":")
    return f"{first}:{own}", options


def _option_value(recipe: str, key: str, text: str) -> Any:
    hints = option_types(recipe)
    check_name(f"option of recipe {recipe},", key, hints)
    for kind in _kinds(hints[key]):
        try:
            return _READERS[kind](text) if kind in _READERS else _one_of(typing.get_args(kind), text)
        except (ValueError, KeyError):
            continue
    raise ConfigError(f"recipe {recipe}, option {key}: expected {_name(hints[key])}, got {text!r}")


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The members of a union, text last, because it takes everything."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return tuple(sorted(members, key=lambda kind: kind is str))


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


_READERS: dict[Any, Callable[[str], Any]] = {
    types.NoneType: lambda text: {"none": None}[text.lower()],
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    int: _whole,
    float: _finite,
    str: str,
}


def _one_of(literals: tuple[Any, ...], text: str) -> Any:
    return {str(literal): literal for literal in literals}[text]


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
