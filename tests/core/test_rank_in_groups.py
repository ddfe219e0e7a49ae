"""The primitive under every hard sampler, against a loop."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from hardmine.core import rank_in_groups as ranking
from hardmine.core.rank_in_groups import (
    balanced_priority,
    places_left,
    rank_in_groups,
    top_among,
    top_balanced,
    top_indices,
    top_preferred,
    top_set,
)
from hardmine.core.samples import Assignment

ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-2, 3)), min_size=0, max_size=12)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_the_rank_is_the_number_of_those_before_it_in_its_group(row):
    """Before it: a larger key, or the same key and further left."""
    key = torch.tensor([[float(key) for key, _ in row]]).view(1, -1)
    group = torch.tensor([[group for _, group in row]], dtype=torch.int64).view(1, -1)
    expected = [
        sum(g == other_g and (k2 > k or (k2 == k and j < i)) for j, (k2, other_g) in enumerate(row))
        for i, (k, g) in enumerate(row)
    ]
    assert rank_in_groups(key, group)[0].tolist() == expected


@given(ROWS, st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_top_among_keeps_the_largest_of_the_candidates(row, quota):
    key = torch.tensor([[float(key) for key, _ in row]]).view(1, -1)
    candidates = torch.tensor([[group > 0 for _, group in row]], dtype=torch.bool).view(1, -1)
    kept = top_among(key, candidates, quota)
    assert not (kept & ~candidates).any()
    assert kept.sum() == min(quota, candidates.sum())
    if kept.any() and (candidates & ~kept).any():
        assert key[kept].min() >= key[candidates & ~kept].max()


@given(ROWS, st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=200, deadline=None)
def test_a_bound_of_the_quota_changes_nothing(row, quota, beyond):
    key = torch.tensor([[float(key) for key, _ in row]]).view(1, -1)
    candidates = torch.tensor([[group > 0 for _, group in row]], dtype=torch.bool).view(1, -1)
    of_row = torch.full((1, 1), quota)
    assert torch.equal(
        top_among(key, candidates, of_row, most=quota + beyond), top_among(key, candidates, of_row, most=None)
    )


NOISE = st.lists(st.tuples(st.integers(0, 7), st.integers(-2, 3)), min_size=0, max_size=12)


@given(NOISE, st.integers(0, 9), st.sampled_from([None, 6]))
@settings(max_examples=200, deadline=None)
def test_the_shares_of_all_groups_come_first_and_the_rest_by_what_it_is_of_the_least_share(row, quota, num_groups):
    """By a loop; noise of 0 and equal noise included, and no candidate in group -2."""
    noise = torch.tensor([[eighths / 8 for eighths, _ in row]], dtype=torch.float64).view(1, -1)
    group = [group for _, group in row]
    candidates = torch.tensor([[g > -2 for g in group]], dtype=torch.bool).view(1, -1)
    share = max(1, quota // (num_groups or max(1, len({g for g in group if g > -2}))))
    expected = torch.zeros_like(noise)
    for g in set(group):
        own = sorted((i for i in range(len(row)) if group[i] == g), key=lambda i: -float(noise[0, i]))
        for place, i in enumerate(own):
            least = noise[0, own[share - 1]] if place >= share else 0
            of_least = noise[0, i] / least if least > 0 else 0
            expected[0, i] = 2 + noise[0, i] ** len(own) if place < share else of_least
    whole = torch.tensor(group).view(1, -1)
    priority = balanced_priority(noise, candidates, whole, torch.tensor([[quota]]), num_groups)
    torch.testing.assert_close(priority[candidates].double(), expected[candidates])


@pytest.fixture
def not_looking(monkeypatch):
    """As on a device, where the number of candidates is not known."""

    def without(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(ranking, "looking_is_free", lambda _: False)
            return function(*arguments)

    return without


@pytest.mark.parametrize("num_groups", [None, 4])
@pytest.mark.parametrize("most", [0, 1, 9])
def test_where_candidates_are_few_only_they_are_looked_at(most, num_groups, not_looking):
    noise, group = torch.rand(3, 40), torch.randint(-1, 3, (3, 40))
    candidates = torch.zeros(3, 40, dtype=torch.bool)
    candidates[1, torch.randperm(40)[:most]] = True
    candidates[2, 39] = most > 0
    arguments = noise, candidates, group, torch.tensor([[2], [5], [1]]), num_groups
    priority = balanced_priority(*arguments)
    assert torch.equal(priority[candidates], not_looking(balanced_priority, *arguments)[candidates])
    assert (priority[~candidates] == 0).all()  # they were not looked at


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("num", [1, 7, 40, 50])
def test_looking_for_ties_changes_no_set(num, levels, not_looking):
    key = torch.randint(levels, (3, 2, 40)).float()
    expected = key.argsort(dim=-1, descending=True, stable=True)[..., :num]
    assert torch.equal(top_set(key, num).sort().values, expected.sort().values)
    assert torch.equal(top_set(key, num), not_looking(top_set, key, num))


@pytest.mark.parametrize("quota", [torch.tensor([[0], [3], [50]]), torch.tensor([[0.0], [2.5], [9.0]])])
def test_a_quota_that_is_looked_at_is_the_quota(quota, not_looking):
    key, candidates = torch.randn(3, 40).round(), torch.rand(3, 40) < 0.7
    assert torch.equal(top_among(key, candidates, quota), not_looking(top_among, key, candidates, quota))


def test_the_noise_of_who_is_no_candidate_decides_nothing():
    noise, group = torch.rand(1, 9), torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]])
    candidates = torch.tensor([[True, True, False, True, True, False, True, True, True]])
    quota = torch.tensor([[4]])
    expected = balanced_priority(noise, candidates, group, quota)[candidates]
    for poison in (1.0, torch.nan, torch.inf):
        priority = balanced_priority(noise.masked_fill(~candidates, poison), candidates, group, quota)
        assert torch.equal(priority[candidates], expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64], ids=str)
def test_keys_are_ranked_as_torch_sorts_them(dtype):
    key = torch.tensor([[2, -1, 0, 3, -7, 2, 0, 1], [5, 5, 5, -5, 0, 1, 2, 3]], dtype=dtype)
    if dtype.is_floating_point:
        key[0, :4] = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0], dtype=dtype)
        key[1, :3] = torch.tensor([-torch.nan, 1e-3, -1e-3], dtype=dtype)
    order = key.argsort(dim=-1, descending=True, stable=True)
    expected = torch.empty_like(order).scatter(-1, order, torch.arange(8).expand_as(order))
    assert torch.equal(rank_in_groups(key, torch.zeros_like(key)), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_nan_and_infinity_tie_and_keep_their_order(dtype):
    key = torch.tensor([[torch.inf, torch.nan, 1, torch.inf, -torch.nan, -torch.inf]], dtype=dtype)
    assert rank_in_groups(key, torch.zeros_like(key)).tolist() == [[0, 1, 4, 2, 3, 5]]


@pytest.mark.parametrize("most", [2, None])
def test_nan_is_the_largest_key_so_that_a_diverged_loss_is_seen(most):
    key = torch.tensor([[1.0, torch.nan, 3.0, 2.0]])
    kept = top_among(key, torch.tensor([[True, True, True, False]]), torch.tensor([[2]]), most)
    assert kept.tolist() == [[False, True, True, False]]


@given(ROWS, st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_top_preferred_takes_the_preferred_first(row, quota):
    key = torch.tensor([[float(key) for key, _ in row]]).view(1, -1)
    candidates = torch.tensor([[group > -1 for _, group in row]], dtype=torch.bool).view(1, -1)
    preferred = torch.tensor([[group in (-2, 1, 3) for _, group in row]], dtype=torch.bool).view(1, -1)
    first = top_among(key, candidates & preferred, quota)
    rest = top_among(key, candidates & ~preferred, quota - first.sum(-1, keepdim=True))
    assert torch.equal(top_preferred(key, candidates, preferred, quota), first | rest)


@given(ROWS, st.integers(1, 14))
@settings(max_examples=200, deadline=None)
def test_top_indices_is_the_start_of_a_stable_sort(row, num):
    key = torch.tensor([[-torch.inf if key == -3 else key / 2 for key, _ in row]], dtype=torch.float64).view(1, -1)
    expected = sorted(range(len(row)), key=lambda i: (-key[0, i], i))[:num]
    assert top_indices(key, num)[0].tolist() == expected


def test_rows_do_not_see_each_other():
    key, group = torch.rand(4, 9), torch.randint(0, 3, (4, 9))
    alone = [rank_in_groups(key[b : b + 1], group[b : b + 1]) for b in range(4)]
    assert torch.equal(rank_in_groups(key, group), torch.cat(alone))


def test_a_quota_may_differ_by_row():
    kept = top_among(torch.rand(3, 5), torch.ones(3, 5, dtype=torch.bool), torch.tensor([[0], [2], [9]]))
    assert kept.sum(dim=1).tolist() == [0, 2, 5]


@pytest.mark.parametrize(
    ("matched", "num", "fraction", "kept"),
    [
        ([0, 1, 2, -1, -1, -2], 4, 0.5, [1, 1, 0, 1, 1, 0]),
        ([0, -1, -1, -1, -1, -2], 4, 0.5, [1, 1, 1, 1, 0, 0]),  # negatives make up for missing positives
        ([0, 1, 2, 3, 4, -1], 4, 0.5, [1, 1, 0, 0, 0, 1]),  # positives never for missing negatives
        ([0, 1, 2, -1, -1, -1], 3, 0.0, [0, 0, 0, 1, 1, 1]),
        ([0, 1, 2, -1, -1, -1], 3, 1.0, [1, 1, 1, 0, 0, 0]),
    ],
)
def test_top_balanced(matched, num, fraction, kept):
    key = torch.arange(6, 0, -1.0)[None]
    assignment = Assignment(torch.tensor([matched]), torch.zeros(1, 6))
    assert top_balanced(key, assignment, num, fraction).int()[0].tolist() == kept


@pytest.mark.parametrize(
    ("positives", "ratio", "left"), [(3, None, 5), (3, 1, 3), (3, 2.5, 5), (2, 1.4, 2), (0, 3, 3), (0, 0, 0), (8, 1, 0)]
)
def test_negatives_take_what_is_left_up_to_so_many_a_positive(positives, ratio, left):
    assert places_left(8, torch.tensor([[positives]]), ratio).tolist() == [[left]]
