"""What is said of groups at once is what a loop over them says."""

import numpy as np
from hypothesis import given, strategies as st

from hardmine.tables.groups import Grouped, place_in_run, places_of_lengths

GROUPS = st.lists(st.integers(-2, 4), max_size=12).map(lambda groups: np.array(groups, dtype=np.int64))


@given(GROUPS, GROUPS)
def test_pairs_are_those_of_a_loop(rows, groups):
    expected = [(place, row) for place, group in enumerate(groups) for row in np.flatnonzero(rows == group)]
    places, found = Grouped(rows).pairs(groups)
    assert list(zip(places.tolist(), found.tolist(), strict=True)) == expected
    assert Grouped(rows).count(groups).tolist() == [(rows == group).sum() for group in groups]


@given(st.lists(st.integers(0, 3), max_size=6))
def test_places_of_lengths_are_those_of_a_loop(lengths):
    found = places_of_lengths(np.array(lengths, dtype=np.int64))
    assert found.tolist() == [place for length in lengths for place in range(length)]


def test_a_run_begins_where_it_is_said():
    assert place_in_run(np.array([True, False, False, True, True, False])).tolist() == [0, 1, 2, 0, 0, 1]
    assert place_in_run(np.zeros(0, dtype=bool)).tolist() == []
