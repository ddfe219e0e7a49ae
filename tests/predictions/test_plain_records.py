"""What is taken as plain is read as `checked_record` reads it; what that refuses is not plain."""

import math

import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from hardmine.errors import DataError
from hardmine.predictions.plain_records import rows_if_plain
from hardmine.predictions.records import checked_rows

GOOD = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 40], "score": 0.5}
ODD = st.sampled_from(
    (
        *(None, True, "", "a", "\ud800", "7", 7, 7.0, 7.5, -1, 10**30, 10**400, 1e9, 1.1e9, math.nan, math.inf),
        *([], [1], {}, [1, 2, 3, 4], [1, 2, -3, 4], [1, 2, 3], [1, 2, 3, "4"], (1, 2, 3, 4), [1, 2, math.nan, 4]),
    )
)
FIELDS = st.sampled_from([*GOOD, "file_name", "category", "category_name", "label", "class_name", "area"])


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(FIELDS, ODD, max_size=3),
    st.sets(st.sampled_from(list(GOOD)), max_size=1),
    st.sampled_from(["xywh", "xyxy", "cxcywhn"]),
)
def test_plain_records_are_what_the_general_reader_makes_of_them(changes, left_out, box_format):
    record = {name: value for name, value in (GOOD | changes).items() if name not in left_out}
    rows = rows_if_plain([GOOD, record], box_format)
    if rows is not None:
        assert rows.equals(checked_rows([GOOD, record], "mine", box_format))


def test_common_records_are_plain():
    more = {"area": 3, "segmentation": {"counts": [1], "size": [2, 2]}, "iscrowd": 0}
    records = [
        GOOD,
        GOOD | more,
        GOOD | {"image_id": "a", "category": "cat"},
        GOOD | {"file_name": "a.jpg", "score": 1},
    ]
    rows = rows_if_plain(records, "xywh")
    assert isinstance(rows, pl.DataFrame)
    assert rows["category"].to_list() == [None, None, "cat", None]


def test_a_record_that_is_none_is_not_plain():
    for records in ([GOOD, 3], [GOOD, {}], [GOOD, GOOD | {"score": None}]):
        assert rows_if_plain(records, "xywh") is None
        with pytest.raises(DataError, match="mine, record 1"):
            checked_rows(records, "mine", "xywh")
