"""What is agreed about pixels, for whoever needs no arithmetic on samples: no torch."""

__all__ = ["ARROW", "IGNORED"]

IGNORED = 255
"""The label of a pixel of which nobody says what it is: nothing is learnt or judged there."""

ARROW = " → "
"""Between what a suspect region is labelled and what is predicted there: its kind, as people decide on it."""
