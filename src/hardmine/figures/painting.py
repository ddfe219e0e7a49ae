"""Figures onto paper, by matplotlib's objects: no window, no global state, the same bytes every time."""

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

from hardmine.figures.figure import Figure, Panel, Series

__all__ = ["paint"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe & Ito: for all kinds of eyes
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 2)), (0, (8, 2)))
OWN_COLOUR, OWN_WIDTH, WIDTH = "#000000", 2.6, 1.6
PANEL_INCHES = (4.8, 3.9)
ENTRY_INCHES, USUAL_ENTRIES = 0.19, 3
"""Height of a line of a legend, and for how many of them a panel has room."""
DPI = 130
SETTINGS: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "svg.hashsalt": "hardmine",  # otherwise the ids of an SVG differ from one drawing to the next
}


def paint(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """The figure as a file of this kind."""
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        sheet = _sheet(figure)
        stream = io.BytesIO()
        sheet.savefig(stream, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()


def _sheet(figure: Figure) -> Any:
    from matplotlib.figure import Figure as Sheet
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = figure.rows
    width = PANEL_INCHES[0] * max(len(row) for row in rows)
    heights = [_height(row) for row in rows]
    sheet = Sheet(figsize=(width, sum(heights) + 0.6), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    sheet.suptitle(figure.title, fontsize=13, fontweight="bold")
    parts = sheet.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        for axes, panel in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            _paint_panel(axes, panel)
    if figure.note:
        sheet.supxlabel(textwrap.fill(figure.note, int(width * 14)), fontsize=9)
    return sheet


def _height(row: Sequence[Panel]) -> float:
    """In inches: axes as high as usual, above the longest of the legends."""
    entries = max(math.ceil(len(_entries(panel)) / _legend_columns(panel)) for panel in row)
    return PANEL_INCHES[1] + ENTRY_INCHES * max(0, entries - USUAL_ENTRIES)


def _paint_panel(axes: Any, panel: Panel) -> None:
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.log_y:
        axes.set_yscale("log")
    if panel.ticks:
        axes.set_xticks(range(len(panel.ticks)), panel.ticks)
        axes.grid(visible=False, axis="x")
    if panel.counts:
        _count_along(axes, *panel.counts)
    for series in panel.series:
        _paint_series(axes, series, _style(panel, series), _place_of_bars(panel, series), _label(panel, series))
    _paint_legend(axes, panel)


def _count_along(axes: Any, first: int, last: int) -> None:
    """Whole numbers only, all of them in sight; what has one point stands among as many places as what has all."""
    margin = max(0.03 * (last - first), 0.3)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _paint_series(
    axes: Any, series: Series, style: dict[str, Any], bars: tuple[float, float], label: str | None
) -> None:
    match series.kind:
        case "line":
            axes.plot(series.x, series.y, label=label, **style)
        case "points":
            axes.plot(series.x, series.y, "o", ms=4.5, alpha=0.75, color=style["color"], label=label)
        case "steps":
            axes.stairs(series.y, series.x, label=label, **style)
        case "bars":
            shift, thickness = bars
            axes.bar([x + shift for x in series.x], series.y, thickness, color=style["color"], label=label)


def _shown_as(series: Series) -> str:
    return series.group or series.name


def _label(panel: Panel, series: Series) -> str | None:
    """What the legend calls it; nothing where an earlier one of its group stands there."""
    first = next(other for other in panel.series if _shown_as(other) == _shown_as(series))
    return _shown_as(series) if first is series or not series.group else None


def _style(panel: Panel, series: Series) -> dict[str, Any]:
    """Colour, and the dash as a second sign; what is of the method itself is black, thick and, first of it, solid."""
    alike = [other for other in panel.series if other.is_own == series.is_own]
    number = list(dict.fromkeys(map(_key_of, alike))).index(_key_of(series))
    colour = OWN_COLOUR if series.is_own else COLOURS[number % len(COLOURS)]
    dash = DASHES[(number + number // len(COLOURS)) % len(DASHES)]
    return {"color": colour, "lw": OWN_WIDTH if series.is_own else WIDTH, "ls": dash}


def _key_of(series: Series) -> tuple[str, str | int]:
    """Equal for those that look alike."""
    return ("group", series.group) if series.group else ("series", id(series))


def _place_of_bars(panel: Panel, series: Series) -> tuple[float, float]:
    """How far from its x a bar stands, and how wide it is: bars at the same x stand side by side."""
    beside = [other for other in panel.series if other.kind == "bars" and set(other.x) & set(series.x)]
    if series.kind != "bars" or len(beside) == 1:
        return 0.0, 0.7
    thickness = 0.8 / len(beside)
    return (beside.index(series) - (len(beside) - 1) / 2) * thickness, thickness


def _paint_legend(axes: Any, panel: Panel) -> None:
    """Below the axes, where it covers nothing; a lone series is what the label of the axis says."""
    if len(_entries(panel)) == 1:
        return
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4.2}
    axes.legend(**place, ncols=_legend_columns(panel), handlelength=3)


def _entries(panel: Panel) -> set[str]:
    return set(map(_shown_as, panel.series))


def _legend_columns(panel: Panel) -> int:
    return 2 if max(map(len, _entries(panel)), default=0) < 26 else 1
