"""The usual claim: a recipe is better than another, by a measure of what their runs find on the same images."""

from collections.abc import Callable, Sequence

import numpy as np

from hardmine.claims.claim import Cell, Contrast, Measurement, Side
from hardmine.claims.runs import Runs

__all__ = ["average_precisions", "gain", "gains", "named"]

Pair = tuple[Cell, Cell]


def gain(runs: Runs, pair: Pair, measure: str = "ap", claimed: Side = "above") -> Contrast:
    """How far the first of the two is above the second, on each draw and under each seed."""
    better, worse = pair
    text = f"{measure.replace('_', ' ').upper()}: {named(better)} - {named(worse)}"
    return Contrast(text, runs.measure(better, measure) - runs.measure(worse, measure), claimed)


def gains(*pairs: Pair) -> Callable[[Runs], Measurement]:
    """Measures that the first of each pair has the higher AP; the AP of all stands beside it."""

    def measure(runs: Runs) -> Measurement:
        return Measurement([gain(runs, pair) for pair in pairs], average_precisions(runs, sum(pairs, ())))

    return measure


def average_precisions(runs: Runs, cells: Sequence[Cell]) -> dict[str, np.ndarray]:
    """AP of each cell, by seed."""
    return {f"AP of {named(cell)}": runs.measure(cell)[0] for cell in dict.fromkeys(cells)}


def named(cell: Cell) -> str:
    """The cell without its detector, where that is the usual one."""
    return cell.label.removeprefix("fasterrcnn-")
