"""Recipes of installed packages: what they declare is found by name, and nothing else is."""

import sys
from types import ModuleType

import pytest

from hardmine import Recipe
from hardmine.errors import ConfigError
from hardmine.recipes import RECIPES
from hardmine.training.recipe_names import find_recipe, installed_recipes, make_recipe, option_types


def mine(limit: float = 0.5) -> Recipe:
    return Recipe("mine", parameters={"limit": limit})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Declares entry points as an installer does, of a module that has `mine`."""

    def declare(package: str, **recipes: str) -> None:
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in recipes.items()]
        (info / "entry_points.txt").write_text("\n".join(["[hardmine.recipes]", *lines]) + "\n")

    module = ModuleType("package_of_mine")
    module.mine, module.number = mine, 3
    module.untyped = lambda limit=0.5: mine(limit)
    module.nothing = lambda: None
    monkeypatch.setitem(sys.modules, "package_of_mine", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    installed_recipes.cache_clear()
    yield declare
    installed_recipes.cache_clear()


def test_what_a_package_declares_is_found_by_its_name_and_that_of_the_package(install):
    install("Package-of_Mine", hard="package_of_mine:mine")
    for name in ("package-of-mine:hard", "Package_of.mine:hard"):
        assert find_recipe(name) is mine
    assert make_recipe("package-of-mine:hard", {"limit": 0.25}).parameters == {"limit": 0.25}
    assert option_types("package-of-mine:hard") == {"limit": float}
    assert set(installed_recipes()) == {"package-of-mine:hard"}


def test_own_recipes_are_not_hidden_by_a_package(install):
    install("random", random="package_of_mine:mine")
    assert find_recipe("random") is RECIPES["random"]
    assert find_recipe("random:random") is mine


@pytest.mark.parametrize("name", ["os:system", "package_of_mine:mine", "package-of-mine:soft", "ohem:nms"])
def test_what_no_package_declares_is_not_imported_whatever_a_run_folder_names(install, name):
    install("package-of-mine", hard="package_of_mine:mine")
    with pytest.raises(ConfigError, match=f"unknown recipe '{name}'"):
        make_recipe(name, {})


def test_a_package_that_is_not_installed_is_told(install):
    install("package-of-mine", hard="package_of_mine:mine")
    with pytest.raises(ConfigError, match="installed packages declare: package-of-mine:hard; install"):
        make_recipe("zzz:gone", {})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("package_of_nobody:mine", "package_of_nobody:mine cannot be imported"),
        ("package_of_mine:gone", "package_of_mine:gone cannot be imported"),
        ("package_of_mine:number", "is 3, expected a function that makes a Recipe"),
        ("package_of_mine:untyped", "its option limit has no type; annotate it"),
        ("package_of_mine:nothing", "made None, expected a hardmine.Recipe"),
    ],
)
def test_a_package_that_declares_something_else_is_told(install, value, message):
    install("package-of-mine", hard=value)
    with pytest.raises(ConfigError, match=f"recipe package-of-mine:hard.*{message}"):
        make_recipe("package-of-mine:hard", {})
