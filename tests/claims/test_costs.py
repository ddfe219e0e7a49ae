import time

import numpy as np
import pytest
import torch

from hardmine.claims import costs
from hardmine.claims.claim import cell
from hardmine.claims.costs import in_turn, saved_bytes
from hardmine.claims.runs import Training
from tests.claims.made import found_of


def test_what_is_kept_is_counted_once_and_without_parameters():
    layer, x = torch.nn.Linear(10, 20, bias=False), torch.rand(5, 10, requires_grad=True)
    assert saved_bytes(lambda: layer(x), layer) == 5 * 10 * 4
    assert saved_bytes(lambda: x * x, layer) == 5 * 10 * 4

    def nothing():
        with torch.no_grad():
            return layer(x)

    assert saved_bytes(nothing, layer) == 0


def test_calls_take_turns():
    order = []
    seconds = in_turn({"a": lambda: (order.append("a"), time.sleep(0.01)), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert seconds["a"] >= 0.01 > seconds["b"]


class Seeds:
    seeds = (0, 1, 2)


@pytest.mark.parametrize(("two", "naive", "verdict"), [(1.5, 4.0, "holds"), (4.0, 1.5, "does not hold")])
def test_two_passes_are_compared_to_naive_and_random(monkeypatch, two, naive, verdict):
    plan = {"two passes": two, "naive": naive, "random": 1.0}
    changed = {name: {of: value * (1 + seed / 100) for of, value in plan.items()} for seed, name in enumerate("abc")}
    noisy = iter(changed.values())
    monkeypatch.setattr(
        costs, "_plans", lambda runs, seed: (dict(next(noisy)), {name: of**2 for name, of in plan.items()})
    )
    time_, memory, over_random = found_of("two-passes-cost-less", Seeds())
    assert (time_.verdict, memory.verdict, over_random.verdict) == (verdict, verdict, "holds")
    assert time_.value == pytest.approx(np.log(two / naive))
    assert memory.value == pytest.approx(2 * np.log(two / naive))


def test_the_exact_density_is_compared_over_sizes(monkeypatch):
    class Runs(Seeds):
        class scale:  # noqa: N801
            scores, repeats = 100_000, 1

    monkeypatch.setattr(costs, "_density_ratio", lambda num, seed, repeats: num / 1000 * (2 + seed / 100))
    most, grown = found_of("unit-regions-are-cheaper", Runs())
    assert (most.verdict, grown.verdict) == ("holds", "holds")
    assert grown.value == pytest.approx(np.log(100))


def test_a_moving_average_changes_less_from_batch_to_batch(dense):
    class OfOneRun:
        def trained(self, of):
            return dense

    changes = [costs._change(OfOneRun(), Training(cell("retinanet", "focal"), 0), momentum) for momentum in (0.0, 0.75)]
    assert 0 < changes[1] < changes[0]
