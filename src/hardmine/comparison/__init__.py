"""Recipes compared: every one trained alike, measured on the same images, and judged with intervals."""
