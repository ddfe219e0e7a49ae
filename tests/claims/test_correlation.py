import numpy as np
import pytest
from scipy.stats import spearmanr

from hardmine.claims.correlation import rank_correlation


def test_it_is_spearmans():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 50), rng.integers(0, 5, 50)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation(np.arange(4), -np.arange(4)) == pytest.approx(-1)


def test_a_constant_has_none():
    assert rank_correlation(np.ones(3), np.arange(3)) == 0
