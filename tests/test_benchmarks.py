"""What the benchmarks measure with, and that the page says what their results say."""

from argparse import Namespace

import pytest
import torch
from torch import Tensor

from benchmarks import ohem_cost, page
from benchmarks.case import Case, measure, with_gradient
from benchmarks.measure import alternate, peak_bytes, written_bytes

NUMBERS = 1 << 18
MEGABYTE = 1 << 20


def two_then_one() -> Tensor:
    """Two megabytes alive at once, three written."""
    first = torch.ones(NUMBERS)
    second = first + 1
    del first
    return second * 2


def test_memory_is_what_is_alive_at_once_and_all_that_is_written():
    assert peak_bytes(two_then_one) == pytest.approx(2 * MEGABYTE, rel=1e-3)  # and the numbers 1 and 2
    assert written_bytes(two_then_one) == pytest.approx(3 * MEGABYTE, rel=1e-3)


def test_calls_take_turns_after_a_call_of_each():
    calls = []
    timing = alternate(lambda: calls.append("ours"), lambda: calls.append("peer"), rounds=3)
    assert calls == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert timing.rounds == 3
    assert timing.low <= timing.ratio <= timing.high


def test_the_cost_of_ohem_is_that_of_all_plans_in_the_same_rounds():
    options = Namespace(images=1, height=64, width=64, rois=300, budget=4, device="cpu")
    detectors = ohem_cost.plans(ohem_cost.build(options), options.budget)
    for scope in ohem_cost.scopes(detectors["random"], options):
        random, two_passes, naive = ohem_cost.measure(scope, detectors, rounds=1)
        assert random["time to random"] == 1
        assert random["saved MB"] <= two_passes["saved MB"] < naive["saved MB"]


def test_a_peer_that_answers_something_else_is_found_out():
    values = torch.rand(10)
    case = Case(
        group="g", operation="square", size="10", unit=values,
        ours=with_gradient(lambda x: x.square().sum(), values),
        peers={
            "the same": with_gradient(lambda x: (x * x).sum(), values),
            "another": with_gradient(lambda x: x.exp().sum(), values),
            "not finite": with_gradient(lambda x: (x / 0).sum(), values),
        },
    )  # fmt: skip
    same, another, not_finite = measure(case, rounds=1)
    assert same["differs"] == ""
    assert another["differs"].startswith("answer 0 is off by")
    assert not_finite["differs"].startswith("answer 0 is off by")


def test_the_page_says_what_the_results_say():
    assert page.PAGE.read_text() == page.text()
