"""Every prediction beside every object of its image that it overlaps."""

import numpy as np
import pytest

from hardmine.mining import pairs as pairs_module
from hardmine.mining.pairs import Detections, Objects, Pairs, pairs_in_parts, spread


def test_each_prediction_meets_the_objects_that_it_overlaps_in_parts_or_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (30, 2))
    boxes = np.hstack([corners, corners + 10])
    objects = Objects(rng.integers(0, 4, 30), np.zeros(30, int), boxes, np.zeros(30, bool))
    detections = Detections(rng.integers(0, 5, 30), np.zeros(30, int), boxes[::-1], np.ones(30))
    overlap = (np.abs(corners[::-1][:, None] - corners) < 10).all(axis=2)  # of squares with sides of 10
    expected = {(int(p), int(g)) for p, g in np.argwhere(overlap) if detections.image[p] == objects.image[g]}
    for at_a_time in (1_000_000, 7):
        monkeypatch.setattr(pairs_module, "PAIRS_AT_A_TIME", at_a_time)
        found = [
            (int(part[p]), int(g))
            for part, pairs in pairs_in_parts(objects, detections)
            for p, g in zip(pairs.detection, pairs.object, strict=True)
        ]
        assert len(found) == len(expected)
        assert set(found) == expected


def test_the_best_of_equals_is_the_later_object():
    pairs = Pairs(np.array([0, 0, 1]), np.array([4, 9, 2]), np.array([0.5, 0.5, 0.0]))
    best, overlap = pairs.best(3)
    assert (best.tolist(), overlap.tolist()) == ([9, -1, -1], [0.5, 0, 0])


def test_values_are_spread_over_blanks():
    assert spread(np.array([2, 0]), np.array([5.0, 6.0]), 4, -1).tolist() == [6, -1, 5, -1]


def test_what_does_not_belong_together_is_named():
    with pytest.raises(ValueError, match="predictions: got images"):
        Detections(np.zeros(2, int), np.zeros(2, int), np.zeros((2, 3)), np.zeros(2))
