import json
import math
from dataclasses import fields

import pytest

from hardmine.errors import RunError
from hardmine.evaluation import Metrics
from hardmine.figures.epochs import BESIDE_LOSSES, is_number, parts_of_loss, points, read_rows

ROWS = [
    {"epoch": 1, "lr": 0.1, "loss": 3.0, "boxes": 1.0, "ap": None},
    {"epoch": 2, "loss": 2.0, "scores": 1, "ap": 0.5},
]


def test_lines_are_read_as_they_were_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert read_rows(tmp_path / "metrics.jsonl") == ROWS


@pytest.mark.parametrize("text", ["{", "[]", "1\n"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(RunError, match=r"metrics\.jsonl (cannot be read|is damaged)"):
        read_rows(tmp_path / "metrics.jsonl")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        read_rows(tmp_path / "metrics.jsonl")


def test_parts_are_what_is_neither_the_sum_nor_beside_it():
    assert parts_of_loss([ROWS[:1], ROWS[1:]]) == ["boxes", "scores"]


def test_no_measure_is_taken_for_a_part_of_the_loss():
    assert {field.name for field in fields(Metrics)} <= BESIDE_LOSSES


def test_epochs_without_the_number_are_left_out():
    assert points(ROWS, "loss") == ([1, 2], [3.0, 2.0])
    assert points(ROWS, "ap") == ([2], [0.5])
    assert points([{"loss": 1.0}], "loss") == ([], [])


def test_numbers_are_finite_and_no_truth_values():
    assert all(map(is_number, (0, -0.5)))
    assert not any(map(is_number, (True, None, "1", math.nan, math.inf)))
