import matplotlib
from defusedxml.ElementTree import fromstring

from hardmine.figures import Figure, Panel, Series
from hardmine.figures.painting import _label, _place_of_bars, _sheet, _style, paint

LINES = Panel("lines", "x", "y", [Series("a", [0, 1], [1, 2]), Series("b", [0, 1], [2, 3], is_own=True)], log_y=True)
BARS = Panel("bars", "x", "y", [Series("a", [0, 1], [1, 2], "bars"), Series("b", [1], [2], "bars")], ticks=("l", "r"))
OTHERS = Panel("<", "x", "y", [Series("a", [0, 1], [1, 2], "points"), Series("b", [0, 1, 3], [1, 2], "steps")], row=1)
EVERYTHING = Figure("all < kinds & signs γ ∂ ℓ", [LINES, BARS, OTHERS], "a note")


def test_png_and_svg_are_whole_and_the_same_every_time():
    png, svg = paint(EVERYTHING, "png"), paint(EVERYTHING, "svg")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(png) > 10_000
    assert fromstring(svg.decode()).tag.endswith("svg")
    assert b"<dc:date>" not in svg
    assert svg == paint(EVERYTHING, "svg")


def test_bars_at_the_same_place_stand_side_by_side():
    first, second = (_place_of_bars(BARS, series) for series in BARS.series)
    assert first == (-0.2, 0.4)
    assert second == (0.2, 0.4)


def test_every_series_of_a_panel_can_be_told_apart():
    panel = Panel("", "", "", [Series(str(n), [0], [n]) for n in range(6)])
    styles = [_style(panel, series) for series in panel.series]
    assert len({style["color"] for style in styles}) == len({style["ls"] for style in styles}) == 6


def test_no_state_is_left_behind():
    paint(EVERYTHING, "png")
    assert matplotlib.rcParams["svg.hashsalt"] == matplotlib.rcParamsDefault["svg.hashsalt"]


def test_series_of_one_group_look_alike_and_have_one_entry():
    series = [Series(f"{group}{n}", [0], [n], group=group) for group in "ab" for n in range(2)]
    panel = Panel("", "", "", [*series, Series("c", [0], [1])])
    styles = [_style(panel, one) for one in panel.series]
    assert styles[0] == styles[1] != styles[2] == styles[3] != styles[4]
    assert [_label(panel, one) for one in panel.series] == ["a", None, "b", None, "c"]


def test_more_series_than_colours_can_be_told_apart():
    panel = Panel("", "", "", [Series(str(n), [0], [n]) for n in range(24)])
    styles = [_style(panel, series) for series in panel.series]
    assert len({(style["color"], style["ls"]) for style in styles}) == 24


def test_what_counts_has_whole_numbers_only_and_all_of_them_in_sight():
    for last in (1, 2, 7, 300):
        axes = _sheet(Figure("", [Panel("", "epoch", "", [Series("a", [1], [1], "points")], counts=(1, last))])).axes[0]
        low, high = axes.get_xlim()
        assert low < 1 <= last < high
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_a_long_legend_leaves_the_axes_their_height():
    heights = []
    for num in (2, 30):
        sheet = _sheet(Figure("", [Panel("", "", "", [Series(f"part {n}", [0, 1], [n, n]) for n in range(num)])]))
        sheet.canvas.draw()
        heights.append(sheet.axes[0].get_window_extent().height)
    assert heights[1] > 0.8 * heights[0]
