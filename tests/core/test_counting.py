"""Occurrences of small whole numbers, whatever their dtype, eager and compiled."""

import pytest
import torch

from hardmine.core.counting import count_over_ranks

PLACES = [[0, 2, 2], [3, 2, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_every_number_is_counted_and_what_is_beyond_is_not(dtype):
    counts = count_over_ranks(torch.tensor(PLACES, dtype=dtype), 3)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [2, 0, 3]


def test_nothing_gives_no_counts():
    assert count_over_ranks(torch.zeros(0, dtype=torch.int32), 3).tolist() == [0, 0, 0]


def test_ranks_are_added_up(monkeypatch):
    monkeypatch.setattr("hardmine.core.counting.sum_over_ranks", lambda total: 2 * total)
    assert count_over_ranks(torch.tensor(PLACES), 3).tolist() == [4, 0, 6]


def test_counting_is_captured_whole():
    compiled = torch.compile(count_over_ranks, fullgraph=True, backend="aot_eager")
    assert compiled(torch.tensor(PLACES), 3).tolist() == [2, 0, 3]


def test_the_operation_is_registered_as_torch_expects():
    torch.library.opcheck(torch.ops.hardmine.occurrences.default, (torch.tensor(PLACES, dtype=torch.uint8), 3))
