import pytest
import torch

from hardmine.figures.binning import IOU_BINS, by_iou, share_of_bins, sum_of_bins


def test_a_bin_holds_its_lower_edge():
    values, amounts = torch.tensor([0.0, 0.5, 0.7, 1.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert sum_of_bins(values, amounts, (0.5, 1.0)).tolist() == [1, 5, 4]
    assert share_of_bins(values, amounts, (0.5, 1.0)) == pytest.approx([0.1, 0.5, 0.4])


def test_nothing_has_no_shares():
    assert share_of_bins(torch.zeros(0), torch.zeros(0), (0.5,)) == [0, 0]


def test_shares_of_many_sum_to_one():
    values = torch.rand(1000)
    assert sum(share_of_bins(values, values, torch.linspace(0, 1, 31).tolist()[1:-1])) == pytest.approx(1)


def test_ious_have_a_bin_for_what_random_sampling_mostly_takes():
    series = by_iou("negatives", torch.tensor([0.0, 0.04, 0.05, 0.6]), torch.ones(4))
    assert dict(zip(IOU_BINS, series.y, strict=True)) == {
        "0-.05": 0.5, ".05-.1": 0.25, ".1-.2": 0, ".2-.3": 0, ".3-.4": 0, ".4-.5": 0, ".5-1": 0.25,
    }  # fmt: skip
