"""Recipes compared: every one trained alike, measured on the same images, and judged with intervals."""

from hardmine.comparison.compare import Comparison, ComparisonRow, RecipeChoice, compare as run_comparison, every_recipe

__all__ = ["Comparison", "ComparisonRow", "RecipeChoice", "every_recipe", "run_comparison"]
