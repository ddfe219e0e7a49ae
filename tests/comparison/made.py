"""Rows of a comparison of known differences, without trainings."""

from dataclasses import replace

import numpy as np

from hardmine.comparison import Comparison, ComparisonRow, Measured
from hardmine.evaluation import differences
from hardmine.training import TrainingConfig


def measured(*by_seed: float, baseline: tuple[float, ...] = (), **options) -> Measured:
    """Of these values, with draws of the images that move all of them by a hundredth."""
    draws = 0.01 * np.random.default_rng(0).standard_normal((100, 1))
    values = {"first": np.zeros((101, len(by_seed))), "other": np.zeros((101, len(by_seed)))}
    values["first"] += baseline or 0
    values["other"] += np.array(by_seed) + np.concatenate([[[0.0]], draws])
    difference = differences(values, 90)["other"] if baseline else None
    return Measured(float(np.mean(by_seed)), by_seed, difference, **options)


def row(name: str = "random", ap: Measured | None = None, **changes) -> ComparisonRow:
    ap = ap or measured(0.4, 0.41)
    plain = ComparisonRow(name, {"ap": ap}, tuple(range(len(ap.by_seed))), 6, 1.0, 100.0)
    return replace(plain, **changes)


def comparison(*rows: ComparisonRow, **changes) -> Comparison:
    plain = Comparison(rows or (row(),), 90, "allocated", TrainingConfig())
    return replace(plain, **changes)


def other(gain: float, name: str = "ohem") -> ComparisonRow:
    return row(name, measured(0.4 + gain, 0.41 + gain, baseline=(0.4, 0.41)))
