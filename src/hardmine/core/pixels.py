"""The label that masks give to a pixel which must not count, for whoever needs no arithmetic on samples: no torch."""

__all__ = ["IGNORED"]

IGNORED = 255
"""The label of a pixel of which nobody says what it is: nothing is learnt or judged there."""
