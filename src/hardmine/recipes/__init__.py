"""Recipes: one paper a file. `RECIPES` lists them all; each is a function of the method's parameters."""

from collections.abc import Callable

from hardmine.recipes.balanced_ce import balanced_ce
from hardmine.recipes.ce import ce
from hardmine.recipes.focal import focal
from hardmine.recipes.hnm import hnm
from hardmine.recipes.ohem import ohem
from hardmine.recipes.ohem_mmdet import ohem_mmdet
from hardmine.recipes.random import random
from hardmine.recipes.recipe import HeadTraits, Paper, Recipe, Slot

__all__ = [
    "RECIPES",
    "HeadTraits",
    "Paper",
    "Recipe",
    "Slot",
    "balanced_ce",
    "ce",
    "focal",
    "hnm",
    "ohem",
    "ohem_mmdet",
    "random",
]

RECIPES: dict[str, Callable[..., Recipe]] = {
    "random": random,
    "ce": ce,
    "balanced_ce": balanced_ce,
    "focal": focal,
    "hnm": hnm,
    "ohem": ohem,
    "ohem_mmdet": ohem_mmdet,
}
