"""Soft orders against those of all pairs."""

import pytest
import torch

from hardmine.core import score_order
from hardmine.core.samples import BACKGROUND, IGNORE
from hardmine.core.score_order import (
    ScorePool,
    SoftOrder,
    Windows,
    _rounded_down,
    step_at_zero,
    sum_above_of_smaller_key,
)


def step(difference: torch.Tensor, delta: float) -> torch.Tensor:
    return (difference >= 0).double() if delta == 0 else (difference / (2 * delta) + 0.5).clamp(0, 1)


@pytest.mark.parametrize("delta", [0, 0.3, 2.0])
@pytest.mark.parametrize("scale", [0, 1, 1e4], ids="scores times {}".format)
@pytest.mark.parametrize(("num_centres", "num_scores"), [(7, 40), (1, 1), (0, 5), (5, 0)])
def test_soft_order_is_that_of_all_pairs(num_centres, num_scores, scale, delta):
    """Also where some of both are no scores: centres at +inf, scores at -inf."""
    centres, scores = torch.randn(num_centres).double() * scale, torch.randn(num_scores).double() * scale
    scores[: num_centres // 2] = centres[:num_scores][: num_centres // 2]  # some are equal
    centres, _ = torch.cat([centres, torch.full((2,), torch.inf)]).sort()
    scores = torch.cat([scores, torch.full((3,), -torch.inf)])
    pairs = step(scores - centres[:, None], delta)
    weights, shares = torch.rand(len(scores)).double(), torch.rand(len(centres)).double() * (centres < torch.inf)
    order = SoftOrder(Windows(centres, delta), scores)
    torch.testing.assert_close(order.above(), pairs.sum(dim=1), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(order.above(weights), pairs @ weights, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(order.spread(shares), shares @ pairs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("delta", [0, 0.3, 2.0])
@pytest.mark.parametrize("scale", [0, 1, 1e4], ids="scores times {}".format)
@pytest.mark.parametrize("num_keys", [1, 3, 1000])
@pytest.mark.parametrize("num", [0, 1, 2, 31, 64])
def test_sums_above_of_smaller_key_are_those_of_all_pairs(num, num_keys, scale, delta):
    centres, key = (torch.randn(num).double() * scale).sort().values, torch.randint(num_keys, (num,)).double()
    weights = torch.rand(num, 2).double()
    pairs = step(centres - centres[:, None], delta) * (key < key[:, None])
    sums = sum_above_of_smaller_key(centres, key, weights, delta)
    torch.testing.assert_close(sums, pairs @ weights, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("numbers", [1, 100, score_order.LAUNCHES_PAY])
def test_how_much_is_dealt_with_at_once_changes_nothing(numbers, monkeypatch):
    centres, key, weights = torch.randn(64).double().sort().values, torch.rand(64), torch.rand(64, 2).double()
    sums = sum_above_of_smaller_key(centres, key, weights, 0.3)
    monkeypatch.setitem(score_order.NUMBERS_AT_A_TIME, "cpu", numbers)
    torch.testing.assert_close(sum_above_of_smaller_key(centres, key, weights, 0.3), sums, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("delta", [0, 0.3])
def test_a_score_is_above_an_equal_one_by_so_much(delta):
    here = torch.zeros(1).double()
    assert SoftOrder(Windows(here, delta), here).above() == step_at_zero(delta)


def test_a_score_is_above_a_bound_and_above_the_rounded_one_alike():
    """The scores nearest to each bound, on both sides."""
    bounds = torch.cat([torch.randn(200).double() * 10, torch.tensor([0.0, 0.5, -0.5, torch.inf, -1e30, 1e30])])
    near, rounded = bounds.float(), _rounded_down(bounds, torch.float32)
    for scores in (near, *(near.nextafter(torch.tensor(end)) for end in (torch.inf, -torch.inf))):
        assert torch.equal(scores.double() > bounds, scores > rounded)


@pytest.mark.parametrize("spread", [0.3, 3.0, 1000.0])
def test_negatives_below_all_positives_are_left_out_if_they_are_most(spread):
    logits, labels = torch.randn(1, 500, 1) * spread, torch.full((1, 500), BACKGROUND)
    labels[0, logits[0, :, 0].topk(3).indices] = 0
    pool = ScorePool(logits, labels, 0.5)
    counts = logits[labels < 0].flatten() >= pool.positives[0] - 0.5
    expected = counts.sum() if counts.sum() < 250 else 500
    assert len(pool.negatives) == expected
    value = torch.rand(len(pool.negatives))
    back = pool.to_scores(torch.zeros(3), value)
    assert back.sum().item() == pytest.approx(value.sum().item())


@pytest.mark.parametrize("is_compiling", [False, True], ids=["what matters", "all in their places"])
def test_pooled_scores_find_their_way_back(is_compiling, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: is_compiling)
    labels = torch.tensor([[1, BACKGROUND, IGNORE], [0, IGNORE, BACKGROUND]])
    logits = torch.arange(12.0).view(2, 3, 2)
    pool = ScorePool(logits, labels, 20.0)
    is_positive = pool.positives < torch.inf
    assert pool.positives[is_positive].tolist() == [1, 6]
    assert pool.negatives[pool.negatives > -torch.inf].tolist() == [0, 2, 3, 7, 10, 11]
    assert pool.num_positives == 2
    assert pool.of_positives(labels)[is_positive].tolist() == [1, 0]
    assert pool.to_samples(pool.positives).tolist() == [[1, 0, 0], [6, 0, 0]]
    negatives = torch.where(pool.negatives > -torch.inf, pool.negatives, 0)
    scores = pool.to_scores(pool.positives, negatives)
    assert torch.equal(scores, torch.where((labels != IGNORE).unsqueeze(-1), logits, 0))
