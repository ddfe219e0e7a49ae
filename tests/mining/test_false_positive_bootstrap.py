"""Bootstrapping: false positives come in, surest first, and nothing goes out."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from hardmine.errors import ConfigError
from hardmine.mining import FalsePositiveBootstrap


def clusters(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positives, many far negatives, and a few look-alikes that random negatives hardly contain."""
    random = np.random.default_rng(seed)
    centres = [((2, 2), 50, 1), ((-4, -4), 5000, 0), ((2, -1.5), 60, 0)]
    X = np.concatenate([random.normal(centre, 0.6, size=(num, 2)) for centre, num, _ in centres])
    return X, np.concatenate([np.full(num, label) for _, num, label in centres])


def test_it_finds_the_look_alikes_that_random_negatives_miss():
    X, y = clusters()
    once = FalsePositiveBootstrap(rounds=0, random_state=0).fit(X, y)
    mined = FalsePositiveBootstrap(rounds=5, random_state=0).fit(X, y)
    false = [(model.predict(X)[y == 0] == 1).sum() for model in (once, mined)]
    assert false[0] > 20
    assert false[1] <= 2
    assert mined.history_[-1]["false_positives_outside"] == 0


def test_it_is_training_again_on_what_was_mistaken():
    X, y = clusters()
    miner = FalsePositiveBootstrap(LinearSVC(random_state=0), rounds=1, random_state=0).fit(X, y)
    first = FalsePositiveBootstrap(LinearSVC(random_state=0), rounds=0, random_state=0).fit(X, y)
    mistaken = np.flatnonzero((first.predict(X) == 1) & (y == 0))
    rows = np.union1d(first.working_set_, mistaken)
    assert np.array_equal(miner.working_set_, rows)
    np.testing.assert_allclose(miner.estimator_.coef_, LinearSVC(random_state=0).fit(X[rows], y[rows] == 1).coef_)


def test_the_surest_come_first_where_only_some_may():
    X, y = clusters()
    first = FalsePositiveBootstrap(rounds=0, random_state=0).fit(X, y)
    miner = FalsePositiveBootstrap(rounds=1, max_added=5, random_state=0).fit(X, y)
    added = np.setdiff1d(miner.working_set_, first.working_set_)
    others = np.setdiff1d(np.flatnonzero(y == 0), miner.working_set_)
    assert len(added) == 5
    assert first.decision_function(X[added]).min() >= first.decision_function(X[others]).max()


def test_any_classifier_will_do():
    X, y = clusters()
    forest = RandomForestClassifier(10, random_state=0)
    assert FalsePositiveBootstrap(forest, random_state=0).fit(X, y).score(X, y) > 0.99


@pytest.mark.parametrize("options", [{"rounds": -1}, {"initial_negatives": 0}, {"max_added": 0}])
def test_arguments_out_of_range_are_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        FalsePositiveBootstrap(**options).fit(*clusters())


def test_one_class_is_not_enough():
    with pytest.raises(ConfigError, match="two classes, got 1 class: \\[1\\]"):
        FalsePositiveBootstrap().fit(np.ones((3, 2)), np.ones(3, dtype=int))
