"""Rows that belong together: which rows of two tables are of one group, and which place each has in its run.

Groups are not looped over: what is said of all of them is a few sorts and sums, whatever their number.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grouped", "place_in_run", "places_of_lengths"]

Places = NDArray[np.int64]


class Grouped:
    """Rows by the group, a whole number, that each is of: (N,)."""

    def __init__(self, group: Places):
        self._order = np.argsort(group, kind="stable")
        self._sorted = group[self._order]

    def count(self, groups: Places) -> Places:
        """How many rows each of these groups has, (K,) -> (K,)."""
        return np.searchsorted(self._sorted, groups, side="right") - np.searchsorted(self._sorted, groups)

    def pairs(self, groups: Places) -> tuple[Places, Places]:
        """Each place in these groups with every row of its group, in this order: places and rows."""
        count, start = self.count(groups), np.searchsorted(self._sorted, groups)
        return np.repeat(np.arange(len(groups)), count), self._order[np.repeat(start, count) + places_of_lengths(count)]


def place_in_run(is_first: NDArray[np.bool_]) -> Places:
    """(N,) how many there are before each since the last that is the first of a run."""
    place = np.arange(len(is_first))
    return place - np.maximum.accumulate(np.where(is_first, place, 0))


def places_of_lengths(lengths: Places) -> Places:
    """0, 1, ... of each length."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
