import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, strategies as st

from hardmine.figures import Panel, Series
from hardmine.report.drawing import HEIGHT, LEFT, WIDTH, Forest, ForestRow, chart, legend_of, nice_ticks

numbers = st.floats(-1e6, 1e6).filter(lambda value: abs(value) > 1e-6 or value == 0)


@given(numbers, numbers)
def test_ticks_hold_what_they_are_for(one, other):
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    slack = 1e-6 * max(abs(low), abs(high), 1e-9)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    steps = [b - a for a, b in pairwise(ticks)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)


def test_ticks_of_no_numbers():
    assert nice_ticks(math.nan, 1) == [0, 1]


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5))
def test_all_of_a_forest_is_on_its_axis(drawn):
    rows = [ForestRow("a", *sorted(of)[1:2], min(of), max(of), min(of), max(of), "") for of in drawn]
    forest = Forest(rows)
    places = [forest.place(end) for row in rows for end in (row.low, row.value, row.high)]
    assert all(-0.01 <= place <= 100.01 for place in [*places, forest.place(0)])


def drawn(panel: Panel, **how) -> ElementTree.Element:
    return ElementTree.fromstring(chart(panel, **how))


def line(name="a", x=(1, 2, 3), y=(0.1, 0.4, 0.2), kind="line") -> Series:
    return Series(name, list(x), list(y), kind)


def test_a_line_goes_through_its_points():
    svg = drawn(Panel("title", "epoch", "AP", [line()]))
    (path,) = svg.iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in path.get("points").split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[0][0] == LEFT
    heights = [HEIGHT - y for _, y in points]
    assert heights[1] > heights[2] > heights[0]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_epochs_are_whole():
    svg = drawn(Panel("title", "epoch", "AP", [line(x=(1, 2), y=(0.1, 0.2))]))
    texts = [text.text for text in svg.iter("text")]
    assert "1" in texts
    assert "1.5" not in texts


def test_a_lone_point_is_a_dot_and_what_is_no_number_is_left_out():
    assert len(list(drawn(Panel("t", "x", "y", [line(x=(1,), y=(1,))])).iter("circle"))) == 1
    assert not list(drawn(Panel("t", "x", "y", [line(x=(1,), y=(math.nan,))])).iter("circle"))
    assert len(list(drawn(Panel("t", "x", "y", [line(kind="points")])).iter("circle"))) == 3
    assert list(drawn(Panel("t", "x", "y", [line(x=(0, 1, 2, 3), kind="steps")])).iter("polyline"))


def test_bars_are_as_high_as_their_numbers_and_stand_side_by_side():
    pair = [Series(name, [0.0, 1.0], y, "bars") for name, y in (("a", [0.2, 0.4]), ("b", [0.1, 0.3]))]
    bars = list(drawn(Panel("t", "x", "y", pair, ticks=["one", "two"])).iter("rect"))
    heights = [float(bar.get("height")) for bar in bars]
    assert heights == pytest.approx([heights[1] * share for share in (0.5, 1, 0.25, 0.75)], abs=0.02)
    edges = sorted((float(bar.get("x")), float(bar.get("x")) + float(bar.get("width"))) for bar in bars)
    assert all(right <= left + 0.02 for (_, right), (left, _) in pairwise(edges))


def test_names_are_text():
    text = chart(Panel("<b>", "</svg>", "y\u202e", [line("<i>")], ticks=["<u>", "b", "c", "d"]))
    ElementTree.fromstring(text)
    assert not re.search(r"<(b|i|u)>|\u202e", text)


def test_one_name_looks_alike_in_all_panels():
    panels = [Panel("1", "x", "y", [line("a"), line("b"), line("a")]), Panel("2", "x", "y", [line("b")])]
    assert legend_of(panels) == [("a", 0), ("b", 1)]
    styles = [path.get("class") for path in drawn(panels[0]).iter("polyline")]
    assert styles == ["line s0", "line s1", "line s0"]
    (path,) = drawn(panels[1], styles=legend_of(panels)).iter("polyline")
    assert path.get("class") == "line s1"
