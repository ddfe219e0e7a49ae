"""The theorem: mining gives what training on everything gives; and the cache is kept to its limit."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from hardmine.errors import ConfigError, HardmineError
from hardmine.mining import FalsePositiveBootstrap, WorkingSetMiner

Data = tuple[np.ndarray, np.ndarray]


@parametrize_with_checks([WorkingSetMiner(), FalsePositiveBootstrap()])
def test_it_is_an_estimator_as_scikit_learn_defines_one(estimator, check):
    check(estimator)


def imbalanced(positives: int = 30, negatives: int = 3000, apart: float = 2.0, seed: int = 0) -> Data:
    """Few positives, and many negatives of which most are easy."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(positives + negatives, 6)) * 1.5
    y = np.zeros(len(X), dtype=int)
    y[:positives] = 1
    X[:positives] += apart
    return X, y


def svm(C: float = 0.01) -> LinearSVC:
    return LinearSVC(loss="hinge", C=C, tol=1e-8, max_iter=1_000_000, random_state=0)


ESTIMATORS = [svm(0.01), svm(0.1), LinearSVC(dual=False, tol=1e-8), LinearSVC(C=100, dual=False, tol=1e-8)]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda svm: f"{svm.loss}-{svm.C}")
@pytest.mark.parametrize("seed", range(3))
def test_mining_gives_what_training_on_everything_gives(estimator, seed):
    X, y = imbalanced(seed=seed)
    miner = WorkingSetMiner(estimator, random_state=seed).fit(X, y)
    everything = clone(estimator).fit(X, y)
    np.testing.assert_allclose(miner.estimator_.coef_, everything.coef_, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(miner.estimator_.intercept_, everything.intercept_, rtol=1e-3, atol=1e-4)
    assert len(miner.working_set_) < len(X)


def test_it_ends_when_no_violator_is_outside_the_cache():
    X, y = imbalanced()
    miner = WorkingSetMiner(svm(), random_state=0).fit(X, y)
    outside = np.setdiff1d(np.arange(len(X)), miner.working_set_)
    assert (miner.decision_function(X[outside]) <= -1 + miner.slack).all()
    assert [each["violators_outside"] > 0 for each in miner.history_] == [True] * (len(miner.history_) - 1) + [False]


def test_positives_are_never_dropped_and_the_cache_is_kept_to_its_limit():
    X, y = imbalanced()
    needed = len(WorkingSetMiner(svm(), random_state=0).fit(X, y).working_set_)
    sizes: list[int] = []

    class Watched(LinearSVC):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            assert y.sum() == 30
            sizes.append(len(X))
            return super().fit(X, y, sample_weight)

    miner = WorkingSetMiner(Watched(**svm().get_params()), cache_size=needed + 20, random_state=0).fit(X, y)
    assert max(sizes) <= needed + 20
    np.testing.assert_allclose(miner.estimator_.coef_, svm().fit(X, y).coef_, rtol=1e-3, atol=1e-4)


def test_a_cache_that_cannot_hold_the_support_vectors_is_named():
    X, y = imbalanced(apart=0.5)
    with pytest.raises(HardmineError, match=r"support vectors do not fit into the cache: .* room for 20"):
        WorkingSetMiner(svm(), cache_size=50).fit(X, y)
    with pytest.raises(ConfigError, match=r"above the number of positives.*got 30 for 30"):
        WorkingSetMiner(svm(), cache_size=30).fit(X, y)


def test_giving_up_is_said():
    X, y = imbalanced()
    with pytest.raises(HardmineError, match="has not ended after 1 rounds"):
        WorkingSetMiner(svm(), initial_negatives=1, max_rounds=1).fit(X, y)


def test_scoring_in_chunks_changes_nothing():
    X, y = imbalanced()
    whole, parts = (WorkingSetMiner(svm(), chunk_size=size, random_state=0).fit(X, y) for size in (10**6, 7))
    assert np.array_equal(whole.working_set_, parts.working_set_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0}, "margin > 0"),
        ({"slack": -1}, "slack >= 0"),
        ({"max_rounds": 0}, "max_rounds >= 1"),
        ({"chunk_size": 0}, "chunk_size >= 1"),
        ({"initial_negatives": 0}, "initial_negatives >= 1"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        WorkingSetMiner(**options).fit(*imbalanced(5, 20))


def test_labels_may_be_anything_and_the_larger_is_positive():
    X, y = imbalanced()
    miner = WorkingSetMiner().fit(X, np.where(y == 1, "object", "background"))
    assert miner.classes_.tolist() == ["background", "object"]
    assert set(miner.predict(X[:30])) >= {"object"}
