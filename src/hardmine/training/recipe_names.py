"""Recipes by name: those of this project, and those that installed packages declare.

    [project.entry-points."hardmine.recipes"]
    near_misses = "mypackage.recipes:near_misses"          on the command line: --recipe mypackage:near_misses

A run folder names its recipe, and may come from anywhere. So a name leads to what an installed package has declared to
be a recipe, never to any function of any module.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import Any, cast, get_type_hints

from packaging.utils import canonicalize_name

from hardmine.errors import ConfigError, check_name
from hardmine.recipes import RECIPES, Recipe
from hardmine.training.config import check_type

__all__ = ["GROUP", "find_recipe", "installed_recipes", "make_recipe", "option_types"]

GROUP = "hardmine.recipes"


@cache
def installed_recipes() -> Mapping[str, EntryPoint]:
    """What installed packages declare, as PACKAGE:NAME; packages are written as pip writes them."""
    found = entry_points(group=GROUP)
    return {f"{canonicalize_name(entry.dist.name)}:{entry.name}": entry for entry in found if entry.dist}


def find_recipe(name: str) -> Callable[..., Recipe]:
    """The function that makes a recipe, by a name in `RECIPES` or by PACKAGE:NAME.

    Raises: ConfigError: no such recipe (with the nearest names), or a package whose recipe cannot be imported.
    """
    if name in RECIPES:
        return RECIPES[name]
    package, _, own = name.partition(":")
    known = f"{canonicalize_name(package)}:{own}"
    if known not in installed_recipes():
        _refuse_unknown(name)
    return _loaded(known, installed_recipes()[known])


def _refuse_unknown(name: str) -> None:
    declared = list(installed_recipes())
    package, colon, _ = name.partition(":")
    if colon and canonicalize_name(package) not in {of.partition(":")[0] for of in declared}:
        found = f"installed packages declare: {', '.join(declared) or 'none'}"
        raise ConfigError(f"unknown recipe {name!r}; {found}; install the package that declares it")
    check_name("recipe", name, [*RECIPES, *declared])


def _loaded(name: str, entry: EntryPoint) -> Callable[..., Recipe]:
    try:
        make = entry.load()
    except Exception as error:  # whatever the module of another package does
        raise ConfigError(f"recipe {name}: {entry.value} cannot be imported ({error}); mend or remove it") from error
    if not callable(make):
        raise ConfigError(f"recipe {name}: {entry.value} is {make!r}, expected a function that makes a Recipe")
    return cast(Callable[..., Recipe], make)


def option_types(name: str) -> dict[str, Any]:
    """The options of a recipe with the types that their annotations say.

    Raises: ConfigError: as `find_recipe`, or an option without an annotation, which no text can be read as.
    """
    make = find_recipe(name)
    hints = get_type_hints(make)
    for option in signature(make).parameters:
        if option not in hints:
            raise ConfigError(f"recipe {name}: its option {option} has no type; annotate it, as {option}: float = 1.0")
    return {option: hints[option] for option in signature(make).parameters}


def make_recipe(name: str, options: Mapping[str, Any]) -> Recipe:
    """Makes a recipe from its name and the options of it that are to differ from their defaults.

    Raises: ConfigError: as `find_recipe`, no such option, a value that it cannot take, or what is made is no recipe.
    """
    make, types = find_recipe(name), option_types(name)
    for option, value in options.items():
        check_name(f"option of recipe {name}", option, types)
        check_type(f"option {option} of recipe {name}", value, types[option])
    recipe = make(**options)
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"recipe {name} made {recipe!r}, expected a hardmine.Recipe")
    return recipe
