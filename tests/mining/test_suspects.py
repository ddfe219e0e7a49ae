"""The four ways to be suspect, by hand."""

import numpy as np
import pytest

from hardmine.errors import DataError
from hardmine.mining.matching import match
from hardmine.mining.pairs import Detections, Objects
from hardmine.mining.suspects import suspect


def judged(objects, detections):
    """Objects as (category, box[, is_crowd]), detections as (category, box, score), all on one image."""
    labels = Objects(
        np.zeros(len(objects), dtype=int),
        np.array([o[0] for o in objects], dtype=int),
        np.array([o[1] for o in objects], dtype=float).reshape(-1, 4),
        np.array([o[2] if len(o) > 2 else False for o in objects], dtype=bool),
    )
    found = Detections(
        np.zeros(len(detections), dtype=int),
        np.array([d[0] for d in detections], dtype=int),
        np.array([d[1] for d in detections], dtype=float).reshape(-1, 4),
        np.array([d[2] for d in detections], dtype=float),
    )
    return suspect(labels, found, match(labels, found))


HERE, HALF, AWAY = [0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]


@pytest.mark.parametrize(
    ("detections", "spurious", "wrong_class", "badly_located"),
    [
        ([(0, HERE, 0.75)], 0.25, 0, 0),
        ([(0, HERE, 0.75), (0, HERE, 0.25)], 0.25, 0, 0),
        ([(1, HERE, 0.75)], 0.25, 0.75, 0),
        ([(1, HERE, 0.75), (0, HERE, 0.5)], 0.125, 0.375, 0),
        ([(1, HALF, 0.5)], 0.5, 0.25, 0),
        ([(0, HALF, 0.75)], 0.25, 0, 0.375),
        ([(0, HALF, 0.75), (0, HERE, 0.5)], 0.25, 0, 0.375),
        ([(0, AWAY, 0.75)], 1, 0, 0),
        ([(0, [9, 0, 19, 10], 0.75)], 1, 0, 0),
    ],
)
def test_a_label_is_as_suspect_as_predictions_say(detections, spurious, wrong_class, badly_located):
    suspicion = judged([(0, HERE)], detections)
    for name, expected in (("spurious", spurious), ("wrong_class", wrong_class), ("badly_located", badly_located)):
        assert getattr(suspicion, name).tolist() == pytest.approx([expected]), name


def test_a_prediction_speaks_for_its_nearest_object_only():
    suspicion = judged([(0, HERE), (0, [0, 2, 10, 12])], [(0, HERE, 1.0)])
    assert suspicion.spurious.tolist() == [0, 1]
    assert suspicion.own.tolist() == [0, -1]


def test_the_surest_of_each_side_is_told():
    suspicion = judged([(0, HERE)], [(0, HALF, 0.25), (0, HERE, 0.5), (1, HERE, 0.75), (2, HERE, 0.75)])
    assert (suspicion.own.tolist(), suspicion.other.tolist()) == ([1], [2])
    np.testing.assert_allclose(suspicion.evidence, [[0.5, 1, 0.75, 1]])


@pytest.mark.parametrize(
    ("detections", "missing"),
    [
        ([(0, AWAY, 0.75)], [0.75]),
        ([(0, HERE, 0.75), (1, HERE, 0.75)], [0, 0]),
        ([(0, [0, 0, 5, 5], 0.5)], [0.375]),
        ([(0, AWAY, 0.75), (1, AWAY, 0.5)], [0.75, 0]),
        ([(1, [50, 50, 60, 55], 0.5), (0, AWAY, 0.75)], [0.25, 0.75]),
        ([(0, AWAY, 0.75), (0, AWAY, 0.05)], [0.75, 0.05]),
    ],
)
def test_a_label_is_missing_where_a_sure_prediction_stands_alone(detections, missing):
    assert judged([(0, HERE)], detections).missing.tolist() == pytest.approx(missing)


def test_crowds_are_not_suspect_nor_what_lies_on_them():
    suspicion = judged([(0, [0, 0, 100, 100], True)], [(0, AWAY, 0.75)])
    assert suspicion.missing.tolist() == suspicion.spurious.tolist() == [0]


def test_nothing_to_judge():
    assert judged([(0, HERE)], []).spurious.tolist() == [1]
    assert judged([], [(0, HERE, 0.5)]).missing.tolist() == [0.5]


def test_scores_must_be_from_0_to_1():
    with pytest.raises(DataError, match="prediction 0 has the score"):
        judged([(0, HERE)], [(0, HERE, 1.5)])
