"""Arguments, and what a stratum is."""

import pytest
import torch

from hardmine import SOHEM, Assignment, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [
        {"num": 0},
        {"edges": (0.5, 0.5, 0.7)},
        {"edges": (0.0, 0.5, 0.7)},
        {"edges": (0.2, 0.5, 1.0)},
        {"shares": (0.5, 0.5)},
        {"shares": (0.5, 0.6, 0.0, 0.0)},
        {"shares": (0.5, -0.1, 0.5, 0.1)},
        {"shares": (float("nan"), 0.2, 0.2, 0.2)},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="SOHEM needs"):
        SOHEM(**options)


def samples_of(classification: list[float], regression: list[float]) -> Samples:
    matched = torch.zeros(1, len(classification), dtype=torch.long)
    return Samples(
        Assignment(matched, torch.zeros(matched.shape)),
        classification_loss=torch.tensor([classification]),
        regression_loss=torch.tensor([regression]),
    )


def test_a_wrong_box_has_its_place_beside_wrong_classes():
    """OHEM would take the two large class losses, and no box would learn."""
    samples = samples_of([9.0, 8.0, 0.1, 0.0], [0.0, 0.0, 2.0, 1.0])
    assert SOHEM(2, (0.5,), (0.5, 0.5))(samples).tolist() == [[1, 0, 1, 0]]


def test_a_place_without_taker_goes_to_the_hardest_of_the_others():
    samples = samples_of([9.0, 8.0, 7.0, 6.0], [0.0] * 4)
    assert SOHEM(3, (0.5,), (0.5, 0.5))(samples).tolist() == [[1, 1, 1, 0]]


def test_what_is_right_in_both_is_the_easiest_of_the_first_stratum():
    samples = samples_of([0.0, 1.0, 0.1], [0.0, 0.0, 0.9])
    assert SOHEM(2, (0.5,), (0.5, 0.5))(samples).tolist() == [[0, 1, 1]]


def test_it_remembers_nothing_in_a_checkpoint():
    assert SOHEM().state_dict() == {}


def test_a_share_is_not_rounded_down_by_the_last_bit():
    """.29 · 100 is 28.999999999999996."""
    samples = samples_of([0.0] * 100 + [9.0] * 100, [1.0] * 100 + [0.0] * 100)
    assert SOHEM(100, (0.5,), (0.29, 0.71))(samples)[0, :100].sum() == 29
