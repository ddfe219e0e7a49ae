"""Arguments, bins and their edges, and that nothing is remembered."""

import pytest
import torch

from hardmine import Assignment, Combined, IoUBalanced, Random, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [
        {"num": 0},
        {"bins": 0},
        {"upper": 0.0},
        {"upper": 1.1},
        {"floor_iou": -0.1},
        {"floor_iou": 0.5},
        {"upper": None, "floor_iou": 1.0},
        {"floor_fraction": 1.5},
        {"floor_fraction": -0.5},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="IoUBalanced needs"):
        IoUBalanced(**options)


def negatives_with(iou: list[float], noise: list[float] | None = None) -> Samples:
    overlap = torch.tensor([iou], dtype=torch.float64)
    matched = torch.full(overlap.shape, -1)
    return Samples(
        Assignment(matched, overlap), noise=torch.rand(overlap.shape) if noise is None else torch.tensor([noise])
    )


def test_a_rare_overlap_gets_as_many_places_as_the_empty_background():
    iou = torch.cat([torch.zeros(900), torch.full((50,), 0.25), torch.full((50,), 0.45)]).tolist()
    kept = IoUBalanced(30)(negatives_with(iou))[0] > 0
    assert kept.view(20, 50).sum(1)[-2:].tolist() == [10, 10]
    assert kept.sum() == 30


def test_bins_reach_to_the_negatives_limit_not_to_one():
    """Or else two of three bins would be empty, as in mmdetection."""
    iou = [0.0] * 20 + [0.2] * 20 + [0.4] * 20
    per_bin = lambda upper: (IoUBalanced(30, upper=upper)(negatives_with(iou))[0] > 0).view(3, 20).sum(1).tolist()  # noqa: E731
    assert per_bin(0.5) == [10, 10, 10]
    assert per_bin(1.0) != [10, 10, 10]


def test_what_lies_on_or_above_the_limit_is_in_the_last_bin():
    noise = [0.9, 0.8, 0.1, 0.2, 0.3]
    samples = negatives_with([0.0, 0.1, 0.5, 0.7, 0.3], noise)
    assert IoUBalanced(3)(samples).tolist() == [[1, 0, 0, 1, 1]]
    largest = negatives_with([0.0, 0.1, 0.6, 0.6, 0.3], noise)
    assert IoUBalanced(3, upper=None)(largest).tolist() == [[1, 0, 0, 1, 1]]


def test_just_below_the_limit_is_no_bin_of_its_own():
    """Rounding lifts it to the upper edge, and it must not share a bin with what is no candidate."""
    below = float(torch.nextafter(torch.tensor(0.3), torch.tensor(0.0)))
    assert (torch.tensor(below) - 0.01) / (0.3 - 0.01) == 1
    assignment = Assignment(torch.tensor([[-1, -1, -1, -2]]), torch.tensor([[below, 0.02, 0.02, 0.02]]))
    samples = Samples(assignment, noise=torch.tensor([[0.1, 0.7, 0.8, 0.9]]))
    assert IoUBalanced(2, 2, 0.3, floor_iou=0.01)(samples).tolist() == [[1, 0, 1, 0]]


def test_image_without_any_overlap():
    assert IoUBalanced(2, upper=None)(negatives_with([0.0] * 4)).sum() == 2


def test_the_iou_of_ignored_samples_says_nothing():
    noise = torch.tensor([[0.9, 0.8, 0.3, 0.2, 0.1]])
    one = Samples(
        Assignment(torch.tensor([[-1, -1, -1, -1, -2]]), torch.tensor([[0, 0.05, 0.15, 0.3, 0.9]])), noise=noise
    )
    assert IoUBalanced(3, upper=None)(one).tolist() == [[1, 0, 1, 1, 0]]


def test_the_second_call_draws_as_the_first():
    """mmdetection's takes no sample of IoU 0 any more."""
    sampling, samples = IoUBalanced(10, upper=None), negatives_with([0.0] * 20 + [0.3] * 20)
    assert torch.equal(sampling(samples), sampling(samples))
    assert sampling(samples)[0, :20].sum() > 0


def test_a_floor_of_zero_leaves_the_empty_background_to_the_last():
    samples = negatives_with([0.0] * 20 + [0.3] * 20)
    assert IoUBalanced(10, floor_iou=0.0)(samples)[0, :20].sum() == 0
    assert IoUBalanced(30, floor_iou=0.0)(samples)[0, :20].sum() == 10
    assert IoUBalanced(10, floor_iou=0.0, floor_fraction=0.4)(samples)[0, :20].sum() == 4


def test_positives_are_none_of_its_business_in_combined():
    matched = torch.tensor([[0, 0, -1, -1, -1, -1]])
    samples = Samples(Assignment(matched, torch.tensor([[0.9, 0.6, 0, 0, 0, 0.45]])), noise=torch.rand(1, 6))
    weights = Combined(Random(), IoUBalanced(), 4, 0.25)(samples)
    assert weights[0, :2].sum() == 1
    assert weights[0, 5] == 1
