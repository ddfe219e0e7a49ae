"""Arguments, the floor, the budget, and nothing counted twice."""

import pytest
import torch

from hardmine import Assignment, HardNegative, Samples
from hardmine.errors import ConfigError


def weights(matched: list[int], **options) -> list[float]:
    loss = torch.arange(len(matched), 0, -1.0)[None]  # the first is the hardest
    samples = Samples(Assignment(torch.tensor([matched]), loss), classification_loss=loss)
    return HardNegative(**options)(samples)[0].tolist()


@pytest.mark.parametrize(
    "options", [{"ratio": -1}, {"ratio": float("nan")}, {"min_negatives": -1}, {"budget": 0}], ids=str
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="HardNegative needs"):
        HardNegative(**options)


def test_three_negatives_a_positive_the_hardest_first():
    assert weights([-1, 0, -1, -1, -1, -2]) == [1, 1, 1, 1, 0, 0]


def test_an_image_without_objects_keeps_its_floor():
    assert weights([-1] * 5) == [1, 1, 1, 0, 0]
    assert weights([-1] * 5, min_negatives=0) == [0] * 5


def test_where_negatives_run_out_no_positive_weighs_two():
    assert weights([0, 0, 0, -1, -1]) == [1] * 5


def test_positives_come_first_in_a_budget():
    assert weights([-1, 0, -1, 0, -1], budget=3) == [1, 1, 0, 1, 0]
    assert weights([0, 0, 0, -1, -1], budget=2) == [1, 1, 0, 0, 0]
