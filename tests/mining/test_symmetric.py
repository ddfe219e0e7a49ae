"""Missed objects bring what came closest to them into the positives."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from hardmine.errors import ConfigError
from hardmine.mining import FalsePositiveBootstrap, SymmetricMiner, WorkingSetMiner

MINERS = {
    "bootstrap": lambda: FalsePositiveBootstrap(LinearSVC(random_state=0), random_state=0),
    "working set": lambda: WorkingSetMiner(random_state=0),
}


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Easy objects far from a large background; hard ones at its edge, with near rows further out."""
    random = np.random.default_rng(seed)
    parts = [
        (random.normal((4, 4), 0.3, (30, 2)), 1, np.arange(30), 1.0),
        (random.normal((0.6, 0.6), 0.1, (6, 2)), 1, np.arange(30, 36), 1.0),
        (random.normal((1.6, 1.6), 0.1, (6, 2)), 0, np.arange(30, 36), 0.4),
        (random.normal((1.4, 1.4), 0.1, (6, 2)), 0, np.arange(30, 36), 0.3),
        (random.normal((0, 0), 0.5, (2000, 2)), 0, np.full(2000, -1), 0.0),
    ]
    columns = [(X, np.full(len(X), label), objects, np.full(len(X), close)) for X, label, objects, close in parts]
    X, y, objects, closeness = (np.concatenate(column) for column in zip(*columns, strict=True))
    return X, y, objects, closeness


@pytest.mark.parametrize("make", MINERS.values(), ids=MINERS)
def test_missed_objects_get_what_came_closest_to_them(make):
    X, y, objects, closeness = scene()
    miner = SymmetricMiner(make(), rounds=2).fit(X, y, objects=objects, closeness=closeness)
    first, *_ = miner.history_
    assert first["positives"] == 36
    assert 0 < first["missed"] <= 6
    assert first["reassigned"] == first["missed"]
    assert miner.history_[1]["positives"] == 36 + first["reassigned"]
    added = np.setdiff1d(miner.working_set_, np.flatnonzero((y == 1) | (objects == -1)))
    assert len(added) == miner.history_[-1]["positives"] - 36
    best = np.flatnonzero((y == 0) & (closeness == 0.4))
    assert np.isin(added[closeness[added] == 0.4], best).all()
    assert (closeness[added] == 0.4).sum() == first["missed"]  # each the closer of its two


@pytest.mark.parametrize("make", MINERS.values(), ids=MINERS)
def test_without_rounds_it_is_the_miner_on_what_is_clear(make):
    X, y, objects, closeness = scene()
    symmetric = SymmetricMiner(make(), rounds=0).fit(X, y, objects=objects, closeness=closeness)
    clear = (y == 1) | (objects == -1)
    plain = make().fit(X[clear], y[clear])
    np.testing.assert_allclose(symmetric.decision_function(X), plain.decision_function(X))
    assert np.array_equal(symmetric.working_set_, np.flatnonzero(clear)[plain.working_set_])


def test_what_is_near_an_object_is_never_a_negative():
    X, y, objects, closeness = scene()
    miner = SymmetricMiner(rounds=1).fit(X, y, objects=objects, closeness=closeness)
    used = miner.working_set_
    assert ((objects[used] == -1) | (y[used] == 1) | (closeness[used] == 0.4)).all()


def test_it_ends_where_nothing_is_missed_or_nothing_is_left():
    X, y, objects, closeness = scene()
    easy = objects < 30
    miner = SymmetricMiner(rounds=5).fit(X[easy], y[easy], objects=objects[easy], closeness=closeness[easy])
    assert [round["missed"] for round in miner.history_] == [0]
    bare = (y == 1) | (objects == -1)
    miner = SymmetricMiner(rounds=5).fit(X[bare], y[bare], objects=objects[bare], closeness=closeness[bare])
    assert len(miner.history_) == 1
    assert miner.history_[0]["missed"] > 0 == miner.history_[0]["reassigned"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objects": np.arange(3)}, "for each of 2048 rows, got int64 of shape \\(3,\\)"),
        ({"objects": np.zeros(2048)}, "whole numbers of objects"),
        ({"closeness": np.zeros(3)}, "a closeness for each"),
        ({"objects": np.full(2048, -1)}, "row 0 is positive and of no object"),
    ],
)
def test_what_does_not_fit_is_told(change, message):
    X, y, objects, closeness = scene()
    with pytest.raises(ConfigError, match=message):
        SymmetricMiner().fit(X, y, **({"objects": objects, "closeness": closeness} | change))


def test_rounds_below_0_are_refused():
    X, y, objects, closeness = scene()
    with pytest.raises(ConfigError, match="rounds >= 0, got -1"):
        SymmetricMiner(rounds=-1).fit(X, y, objects=objects, closeness=closeness)
