"""Recipes compared: every one tuned and trained alike, measured on the same images, and judged with intervals.

`compare` runs a comparison of `contenders`, each first tuned (`tuning`, on the settings of `search`); `judging` turns
what they find into the `table`.
"""

from hardmine.comparison.contenders import RecipeChoice
from hardmine.comparison.table import Comparison, ComparisonRow, Measured, Protocol

__all__ = ["Comparison", "ComparisonRow", "Measured", "Protocol", "RecipeChoice"]
