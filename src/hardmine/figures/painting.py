"""Figures onto paper, by matplotlib's objects: no window, no global state, the same bytes every time."""

import io
import textwrap
from typing import Any, Literal

from hardmine.figures.figure import Figure, Panel, Series

__all__ = ["paint"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe & Ito: for all kinds of eyes
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 2)), (0, (8, 2)))
OWN_COLOUR, OWN_WIDTH, WIDTH = "#000000", 2.6, 1.6
PANEL_INCHES = (4.8, 3.9)
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
    sheet = Sheet(
        figsize=(width, PANEL_INCHES[1] * len(rows) + 0.6), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    )
    sheet.suptitle(figure.title, fontsize=13, fontweight="bold")
    parts = sheet.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        for axes, panel in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            _paint_panel(axes, panel)
    if figure.note:
        sheet.supxlabel(textwrap.fill(figure.note, int(width * 14)), fontsize=9)
    return sheet


def _paint_panel(axes: Any, panel: Panel) -> None:
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.log_y:
        axes.set_yscale("log")
    if panel.ticks:
        axes.set_xticks(range(len(panel.ticks)), panel.ticks)
        axes.grid(visible=False, axis="x")
    for series in panel.series:
        _paint_series(axes, series, _style(panel, series), _place_of_bars(panel, series))
    _paint_legend(axes, panel)


def _paint_series(axes: Any, series: Series, style: dict[str, Any], bars: tuple[float, float]) -> None:
    match series.kind:
        case "line":
            axes.plot(series.x, series.y, label=series.name, **style)
        case "points":
            axes.plot(series.x, series.y, "o", ms=4.5, alpha=0.75, color=style["color"], label=series.name)
        case "steps":
            axes.stairs(series.y, series.x, label=series.name, **style)
        case "bars":
            shift, thickness = bars
            axes.bar([x + shift for x in series.x], series.y, thickness, color=style["color"], label=series.name)


def _style(panel: Panel, series: Series) -> dict[str, Any]:
    """Colour, and the dash as a second sign; what is of the method itself is black, thick and, first of it, solid."""
    number = [other for other in panel.series if other.is_own == series.is_own].index(series)
    colour = OWN_COLOUR if series.is_own else COLOURS[number % len(COLOURS)]
    return {"color": colour, "lw": OWN_WIDTH if series.is_own else WIDTH, "ls": DASHES[number % len(DASHES)]}


def _place_of_bars(panel: Panel, series: Series) -> tuple[float, float]:
    """How far from its x a bar stands, and how wide it is: bars at the same x stand side by side."""
    beside = [other for other in panel.series if other.kind == "bars" and set(other.x) & set(series.x)]
    if series.kind != "bars" or len(beside) == 1:
        return 0.0, 0.7
    thickness = 0.8 / len(beside)
    return (beside.index(series) - (len(beside) - 1) / 2) * thickness, thickness


def _paint_legend(axes: Any, panel: Panel) -> None:
    """Below the axes, where it covers nothing; a lone series is what the label of the axis says."""
    if len(panel.series) == 1:
        return
    columns = 2 if max(len(series.name) for series in panel.series) < 26 else 1
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.2, ncols=columns, handlelength=3)
