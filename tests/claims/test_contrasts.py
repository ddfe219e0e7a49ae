import numpy as np
import pytest

from hardmine.claims.claim import Contrast
from hardmine.claims.contrasts import VERDICTS, Finding, judge_contrasts, overall
from hardmine.evaluation import differences


def judged(values, claimed="above"):
    (found,) = judge_contrasts([Contrast("x", np.array(values), claimed)], 90)
    return found


@pytest.mark.parametrize(
    ("values", "claimed", "verdict"),
    [
        ([0.1, 0.11, 0.09], "above", "holds"),
        ([0.1, 0.11, 0.09], "below", "does not hold"),
        ([-0.1, -0.11, -0.09], "below", "holds"),
        ([0.1, 0.2, -0.15], "above", "undecided"),
        ([0.1, 0.2, -0.15], "below", "undecided"),
        ([0.1], "above", "one seed: no verdict"),
    ],
)
def test_the_verdict_is_where_the_interval_lies(values, claimed, verdict):
    assert judged(values, claimed).verdict == verdict
    assert verdict in VERDICTS


def test_an_interval_over_seeds_alone_is_that_of_t():
    found = judged([0.1, 0.2, 0.3])
    half = 4.302653 * 0.1 / 3**0.5  # the quantile with two degrees of freedom
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half), abs=1e-4)
    assert found.by_seed == (0.1, 0.2, 0.3)


def test_with_draws_it_is_that_of_a_comparison():
    draws = np.random.default_rng(0).normal(0.1, 0.02, (101, 3))
    (found,) = judge_contrasts([Contrast("x", draws)], 90)
    same = differences({"a": np.zeros((101, 3)), "b": draws}, 90)["b"]
    assert (found.low, found.high) == (same.low, same.high)


def test_several_contrasts_hold_at_once():
    by_seed = [0.1, 0.13, 0.09]
    alone, (first, _) = judged(by_seed), judge_contrasts([Contrast(name, np.array(by_seed)) for name in "ab"], 90)
    assert first.high - first.low > alone.high - alone.low


def finding(verdict) -> Finding:
    return Finding("x", "above", 0.0, 0.0, 0.0, (0.0,), verdict)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "undecided"], "undecided"),
        (["holds", "undecided", "does not hold"], "does not hold"),
        (["one seed: no verdict"], "one seed: no verdict"),
    ],
)
def test_a_claim_is_as_good_as_its_worst_contrast(verdicts, expected):
    assert overall([finding(verdict) for verdict in verdicts]) == expected
