"""Proposals of a file: found by image, without a class, best first."""

import json

import numpy as np
import polars as pl
import pytest

from hardmine.errors import DataError
from hardmine.predictions import proposals_in

ROWS = [
    {"file_name": "10.jpg", "x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 8.0, "score": 0.25},
    {"file_name": "1.jpg", "x1": 0.0, "y1": 0.0, "x2": 4.0, "y2": 4.0, "score": 0.5},
    {"file_name": "10.jpg", "x1": 3.0, "y1": 3.0, "x2": 7.0, "y2": 7.0, "score": 0.75},
    {"file_name": "elsewhere.jpg", "x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0, "score": 0.9},
]
EXPECTED = [[[0, 0, 4, 4]], [[3, 3, 7, 7], [1, 2, 9, 8]], [], []]


def test_of_parquet_without_classes(tmp_path, pets):
    pl.DataFrame(ROWS).write_parquet(tmp_path / "found.parquet")
    for path in (tmp_path / "found.parquet", tmp_path):
        found = proposals_in(path, pets)
        assert [boxes.tolist() for boxes in found] == EXPECTED
        assert all(boxes.dtype == np.float32 and boxes.shape[1:] == (4,) for boxes in found)


def test_of_coco_results_whatever_their_class(tmp_path, pets):
    results = [
        {
            "file_name": row["file_name"],
            "image_id": 0,
            "category_id": 99,
            "bbox": [row["x1"], row["y1"], row["x2"] - row["x1"], row["y2"] - row["y1"]],
            "score": row["score"],
        }
        for row in ROWS
    ]
    for record in results:
        del record["image_id"]
    (tmp_path / "found.json").write_text(json.dumps(results))
    assert [boxes.tolist() for boxes in proposals_in(tmp_path / "found.json", pets)] == EXPECTED


def test_by_the_data_sets_own_ids(tmp_path, record, folder_of):
    dataset = folder_of([record(7, "a.jpg"), record(3, "b.jpg")])
    rows = [
        {"image_id": number, **{s: float(number) for s in ("x1", "y1")}, "x2": 20.0, "y2": 20.0, "score": 1.0}
        for number in (3, 7, 8)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "found.parquet")
    assert [boxes.tolist() for boxes in proposals_in(tmp_path / "found.parquet", dataset)] == [
        [[7, 7, 20, 20]],
        [[3, 3, 20, 20]],
    ]


def test_what_is_no_box_is_named(tmp_path, pets):
    pl.DataFrame([ROWS[0] | {"x1": None}]).cast({"x1": pl.Float64}).write_parquet(tmp_path / "found.parquet")
    with pytest.raises(DataError, match="corner or score that is no number"):
        proposals_in(tmp_path / "found.parquet", pets)
