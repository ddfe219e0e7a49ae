"""A sampler for anybody's DataLoader: in proportion, in parts, and continued."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from torch.utils.data import DataLoader

from hardmine.errors import ConfigError
from hardmine.mining import MinedSampler


def test_images_come_as_often_as_they_weigh():
    sampler = MinedSampler([3.0, 0.0, 1.0, 1.0, 0.5, 0.5])
    counts = Counter(index for epoch in range(20) for index in of_epoch(sampler, epoch))
    assert [counts[index] for index in range(6)] == pytest.approx([60, 0, 20, 20, 10, 10], abs=6)
    assert sum(counts.values()) == 120


def of_epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_equal_weights_are_each_image_once_in_an_order_of_the_epoch():
    sampler = MinedSampler(np.ones(50))
    first, second = of_epoch(sampler, 0), of_epoch(sampler, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert of_epoch(MinedSampler(np.ones(50)), 0) == first
    assert of_epoch(MinedSampler(np.ones(50), seed=1), 0) != first


def test_processes_share_an_epoch():
    whole = of_epoch(MinedSampler(np.arange(1, 8)), 3)
    parts = [of_epoch(MinedSampler(np.arange(1, 8), rank=rank, num_replicas=2), 3) for rank in (0, 1)]
    assert [index for pair in zip(*parts, strict=True) for index in pair] == [*whole, whole[0]]


def test_an_epoch_is_continued_where_it_was_left():
    whole = of_epoch(MinedSampler(np.ones(10)), 2)
    sampler = MinedSampler(np.ones(10))
    sampler.set_epoch(2)
    begun = list(islice(sampler, 4))
    other = MinedSampler(np.ones(10))
    other.load_state_dict(sampler.state_dict())
    assert begun + list(other) == whole
    other.set_epoch(2)
    assert list(other) == whole


def test_a_loader_takes_it():
    loader = DataLoader(range(5), batch_size=2, sampler=MinedSampler([0, 0, 1, 0, 0]))
    assert [batch.tolist() for batch in loader] == [[2, 2], [2, 2], [2]]


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [-1.0, 2.0], [float("nan"), 1.0], [[1.0]]])
def test_what_are_no_weights_is_refused(weights):
    with pytest.raises(ConfigError, match="finite, at least 0 and not all 0"):
        MinedSampler(weights)


def test_a_rank_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        MinedSampler([1.0], rank=2, num_replicas=2)
