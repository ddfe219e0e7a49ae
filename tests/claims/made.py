"""Runs of known AP, without trainings; and what a claim makes of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardmine.claims.claim import Cell, Claim
from hardmine.claims.contrasts import Finding, judge_contrasts
from hardmine.claims.runs import Runs
from hardmine.claims.scales import SCALES
from hardmine.claims.table import claims_called

NUM_IMAGES = 90
DRAWS = 0.001 * np.random.default_rng(0).standard_normal((100, 1))


class MadeRuns(Runs):
    """Label of a cell -> a measure by seed; draws of the images move all of them by a thousandth."""

    def __init__(self, values: Mapping[str, Sequence[float]], usual: Sequence[float] = (0.2, 0.21, 0.19)):
        super().__init__(Path("nowhere"), SCALES["small"])
        self.values, self.usual = values, usual

    def measure(self, cell: Cell, name: str = "ap") -> np.ndarray:
        by_seed = np.array(self.values.get(cell.label, self.usual))
        return np.concatenate([by_seed[None], by_seed + DRAWS])

    def last(self, cell: Cell, name: str) -> np.ndarray:
        return self.measure(cell)[0]


def claim(name: str) -> Claim:
    (found,) = claims_called([name])
    return found


def found_of(name: str, runs: Any) -> list[Finding]:
    """What is found of a claim in such runs."""
    return judge_contrasts(claim(name).measure(runs).contrasts, NUM_IMAGES)


def above(values: Sequence[float], gain: float) -> list[float]:
    """The same by seed, a little more or less than so much higher."""
    return [value + gain + change for value, change in zip(values, (0.002, -0.001, 0.0), strict=True)]
