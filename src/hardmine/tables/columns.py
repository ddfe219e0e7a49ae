"""Names of columns that tables and arrays share, for whoever needs no arithmetic on boxes and so no torch."""

__all__ = ["SIDES"]

SIDES = ("x1", "y1", "x2", "y2")
"""The corners of a box, left upper and right lower, in pixels."""
