"""The equation of a head: what a recipe may fill (recipe), over what is averaged (normalize), and the sums (head)."""

from hardmine.equation import normalize

__all__ = ["normalize"]
