"""Records come out of a text that is cut anywhere as out of the whole, plain ones and any others; and so do errors."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from hardmine.predictions import records_in_text
from hardmine.predictions.plain_records import PlainRecord
from hardmine.predictions.records_in_text import records_in_lines, records_in_list

PLAIN = {"image_id": 7, "category_id": 3, "bbox": [1, 2.5, 3e0, 4], "score": 0.5}
TEXTS = st.sampled_from(["", "}, {", '"},{"', "\\", "\n", "[", "é\u2028😀", "\ud800"])
"""What would mislead whoever looks for the ends of records."""
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.floats(allow_nan=True) | st.integers(-(10**30), 10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.builds(
    lambda more, changed: PLAIN | more | changed,
    st.dictionaries(st.sampled_from(["segmentation", "id", "note"]), VALUES, max_size=2),
    st.dictionaries(st.sampled_from(["image_id", "category", "score"]), VALUES, max_size=1),
)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def same(value: object) -> str:
    """Equal for equal values, of which NaN is one."""
    if isinstance(value, PlainRecord):
        names = ("image_id", "category_id", "bbox", "score", "category")
        return repr([normal(getattr(value, name)) for name in names])
    if isinstance(value, dict) and not value.keys() - {*PLAIN, "category", "segmentation", "id", "note"}:
        return repr([normal(value.get(name)) for name in ("image_id", "category_id", "bbox", "score", "category")])
    return repr(value)


def normal(value: object) -> object:
    """Numbers of a plain record are floats, but for ids, and its box is a tuple."""
    if isinstance(value, list | tuple):
        return [normal(part) for part in value]
    return float(value) if type(value) is int and abs(value) < 2**53 else value


@settings(deadline=None, max_examples=50)
@given(st.lists(RECORDS, max_size=6), st.lists(st.integers(0, 10**6), max_size=4), st.sampled_from([None, 1]))
def test_a_list_that_is_cut_anywhere_is_the_list(records, places, indent):
    text = json.dumps(records, indent=indent)
    texts = (part for part in cut(text, places) if part)
    found = [value for part in records_in_list(texts, "xywh") for value in part]
    assert list(map(same, found)) == list(map(same, json.loads(text)))


@settings(deadline=None, max_examples=50)
@given(st.lists(RECORDS, max_size=6), st.lists(st.integers(0, 10**6), max_size=4), st.sampled_from(["\n", "\r\n\n"]))
def test_lines_that_are_cut_anywhere_are_the_lines(records, places, between):
    text = between.join(map(json.dumps, records))
    found = [value for part in records_in_lines(iter(cut(text, places)), "xywh") for value in part]
    assert list(map(same, found)) == list(map(same, json.loads(json.dumps(records))))


@pytest.mark.parametrize("fault", ["x", "]", ",", "}", '{"a":', "[1 2]", '"\x01"', "{} {}"])
@settings(deadline=None, max_examples=50)
@given(places=st.lists(st.integers(0, 10**6), max_size=3))
def test_a_fault_in_a_list_is_told_as_of_the_whole(fault, places):
    plain = json.dumps(PLAIN)
    text = f"\n [{plain},\n{plain}, {fault},\n{plain}]"
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    first, *texts = cut(text[3:], places)
    with pytest.raises(ValueError, match=re.escape(str(expected.value))):
        list(records_in_list(iter([text[:3] + first, *texts]), "xywh"))


def test_a_comma_before_the_first_record_is_a_fault():
    for texts in (["[,", "{}, {}]"], ["[", ",{}, {}]"], ["[{},", ",{}, {}]"]):
        with pytest.raises(ValueError, match="Expecting value"):
            list(records_in_list(iter(texts), "xywh"))


def test_a_fault_in_a_line_is_told_with_its_place():
    plain = json.dumps(PLAIN)
    faults = {'{"a" 1}': "Expecting ':' delimiter: line 3 column 6", "3": "Expecting an object: line 3 column 1"}
    for fault, message in faults.items():
        text = f"{plain}\n\n{fault}\n{plain}\n"
        for size in (7, 1000):
            texts = (text[start : start + size] for start in range(0, len(text), size))
            with pytest.raises(ValueError, match=re.escape(message)):
                list(records_in_lines(texts, "xywh"))


def test_no_more_is_held_than_a_record_may_have(monkeypatch):
    """Whether a text never ends, or its first record does not."""
    monkeypatch.setattr(records_in_text, "LARGEST", 1000)
    texts = iter(['[{"note": "', *["x" * 300] * 10**6])
    with pytest.raises(ValueError, match="Unterminated string"):
        list(records_in_list(texts, "xywh"))
    assert len(next(texts)) == 300


def test_plain_records_are_read_as_such():
    """What is common would otherwise be read at a tenth of the speed."""
    text = json.dumps([PLAIN, PLAIN | {"segmentation": {"counts": "}, {"}}] * 5)
    for read, whole in ((records_in_list, text), (records_in_lines, text[1:-1].replace('}, {"i', '}\n{"i'))):
        parts = list(read(iter([whole[:300], whole[300:]]), "xywh"))
        assert all(isinstance(record, PlainRecord) for part in parts for record in part)
        assert sum(map(len, parts)) == 10
