"""Arguments, shares, and no sample drawn twice."""

import pytest
import torch

from hardmine import Assignment, Combined, InstanceBalanced, Random, Samples
from hardmine.errors import ConfigError


def samples_of(*num: int) -> Samples:
    """So many samples of each object."""
    matched = torch.repeat_interleave(torch.tensor(num))[None]
    return Samples(Assignment(matched, torch.zeros(matched.shape)), noise=torch.rand(matched.shape))


def per_object(sampling, samples: Samples) -> list[int]:
    matched, kept = samples.assignment.matched_gt[0], sampling(samples)[0]
    return torch.zeros(int(matched.max()) + 1).index_add(0, matched, kept).int().tolist()


def test_no_place_is_refused():
    with pytest.raises(ConfigError, match="InstanceBalanced needs num >= 1, got 0"):
        InstanceBalanced(0)


def test_every_object_gets_its_share():
    assert per_object(InstanceBalanced(12), samples_of(50, 4, 6)) == [4, 4, 4]
    assert per_object(InstanceBalanced(12), samples_of(50, 2, 1)) == [9, 2, 1]


def test_places_left_over_are_filled_and_no_sample_counts_twice():
    """mmdetection's top-up may draw what is in already, and so keeps fewer."""
    for _ in range(50):
        weights = InstanceBalanced(20)(samples_of(32, 1, 1, 1))
        assert weights.sum() == 20
        assert weights.max() == 1


def test_more_objects_than_places_get_at_most_one_each():
    drawn = per_object(InstanceBalanced(3), samples_of(90, 1, 1, 1, 1))
    assert sum(drawn) == 3
    assert max(drawn) == 1


def test_the_background_is_one_object_more_unless_combined():
    matched = torch.tensor([[0, 0, 0, -1, -1, -1, -1, -1]])
    samples = Samples(Assignment(matched, torch.zeros(1, 8)), noise=torch.rand(1, 8))
    assert InstanceBalanced(4)(samples)[0, :3].sum() == 2
    assert Combined(InstanceBalanced(), Random(), 4, 0.75)(samples)[0, :3].sum() == 3


def test_of_an_object_only_its_candidates_count():
    samples = samples_of(6, 6)
    candidates = torch.tensor([[False] * 5 + [True] * 7])
    for _ in range(20):
        weights = InstanceBalanced().choose(samples, candidates, torch.tensor([[4]]), 4)
        assert weights[0, :6].tolist() == [0, 0, 0, 0, 0, 1]
        assert weights.sum() == 4
        samples.noise.copy_(torch.rand(1, 12))
