"""Charts as inline SVG in the page's own colours, light or dark, small enough to stay legible on a telephone.

Colour is never the only sign: lines differ in their dashes, bars in their patterns' density, and every chart has a
table of its numbers beside it, or hidden in it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from markupsafe import Markup

from hardmine.figures.figure import Panel, Series
from hardmine.report.names import shown

__all__ = ["NUM_STYLES", "Forest", "ForestRow", "chart", "legend_of", "nice_ticks"]

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 38
NUM_STYLES = 8
"""So many series differ in colour and dash; `page.css` has them."""
LONGEST_TICK = 12


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A recipe's difference with its own interval, and the one that holds for all recipes at once."""

    name: str
    value: float
    low: float
    high: float
    all_low: float
    all_high: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Intervals under each other on one axis, with a line at 0."""

    rows: Sequence[ForestRow]

    @property
    def ticks(self) -> list[float]:
        """Round numbers that hold all intervals and 0."""
        ends = [0.0, *(end for row in self.rows for end in (row.low, row.high, row.all_low, row.all_high))]
        return nice_ticks(min(ends), max(ends), 5)

    def place(self, value: float) -> float:
        """Where a value stands on the axis, in percent of its length."""
        first, *_, last = self.ticks
        return round(100 * (value - first) / (last - first), 3)


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from at most `low` to at least `high`, evenly spaced, about so many and never fewer than two."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    span = high - low or abs(high) or 1.0
    raw = span / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(step for step in (1, 2, 2.5, 5, 10) if step * scale >= raw * 0.999) * scale
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def legend_of(panels: Iterable[Panel]) -> list[tuple[str, int]]:
    """The names in some panels and the number of each one's style: the same name looks alike in all of them."""
    names = dict.fromkeys(series.name for panel in panels for series in panel.series)
    return [(name, number % NUM_STYLES) for number, name in enumerate(names)]


def chart(panel: Panel, styles: Sequence[tuple[str, int]] | None = None, top: float | None = None) -> Markup:
    """One panel as SVG. Series of one name (seeds of a recipe) are drawn alike.

    Args: styles: as `legend_of` gives them.  top: of the y-axis; None: as high as need be.
    """
    style = dict(styles or legend_of([panel]))
    axes = _Axes.of(panel, top)
    series = [_drawn(axes, panel, of, style.get(of.name, 0)) for of in panel.series]
    label = escape(f"{shown(panel.title)}: {shown(panel.y_label)} over {shown(panel.x_label)}")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(axes.drawn(panel))}{''.join(series)}</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    x_ends: tuple[float, float]

    @classmethod
    def of(cls, panel: Panel, top: float | None) -> "_Axes":
        x = [value for series in panel.series for value in series.x]
        y = [value for series in panel.series for value in series.y if math.isfinite(value)]
        low = 0.0 if min(y, default=0.0) >= 0 else min(y)
        y_ticks = nice_ticks(low, max(y, default=1.0) if top is None else top)
        if panel.ticks:
            return cls(range(len(panel.ticks)), y_ticks, (-0.5, len(panel.ticks) - 0.5))
        ends = (min(x, default=0.0), max(x, default=1.0))
        ends = ends if ends[1] > ends[0] else (ends[0] - 1, ends[1] + 1)
        are_whole = all(float(value).is_integer() for value in x)
        inside = [tick for tick in nice_ticks(*ends) if ends[0] <= tick <= ends[1]]
        return cls([tick for tick in inside if not are_whole or tick.is_integer()], y_ticks, ends)

    def x(self, value: float) -> float:
        low, high = self.x_ends
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 2)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 2)

    def drawn(self, panel: Panel) -> Iterator[str]:
        for tick in self.y_ticks:
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(tick)}" y2="{self.y(tick)}"/>'
            yield _text("tick", LEFT - 6, self.y(tick) + 4, f"{tick:g}", "end")
        yield from self._under(panel)
        middle = (LEFT + WIDTH - RIGHT) / 2
        yield _text("axis", middle, HEIGHT - 4, escape(shown(panel.x_label)))

    def _under(self, panel: Panel) -> Iterator[str]:
        skipped = max(1, math.ceil(len(self.x_ticks) * _longest(panel.ticks) * 6.2 / (WIDTH - LEFT - RIGHT)))
        for place, tick in enumerate(self.x_ticks):
            if place % skipped == 0:
                text = escape(_short(panel.ticks[int(tick)])) if panel.ticks else f"{tick:g}"
                yield _text("tick", self.x(tick), HEIGHT - BOTTOM + 14, text)


def _text(kind: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _longest(ticks: Sequence[str]) -> int:
    return max((len(_short(tick)) for tick in ticks), default=4) + 1


def _short(text: str) -> str:
    text = shown(text)
    return text if len(text) <= LONGEST_TICK else f"{text[: LONGEST_TICK - 1]}…"


def _drawn(axes: _Axes, panel: Panel, series: Series, style: int) -> str:
    match series.kind:
        case "bars":
            return "".join(_bars(axes, panel, series, style))
        case "points":
            return "".join(_dots(axes, series, style))
        case "steps":
            corners = zip(series.x[:-1], series.x[1:], series.y, strict=True)
            return _path(axes, [point for x1, x2, y in corners for point in ((x1, y), (x2, y))], style)
        case "line":
            points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(y)]
            return _path(axes, points, style) if len(points) > 1 else "".join(_dots(axes, series, style))


def _path(axes: _Axes, points: Sequence[tuple[float, float]], style: int) -> str:
    if not points:
        return ""
    corners = " ".join(f"{axes.x(x)},{axes.y(y)}" for x, y in points)
    return f'<polyline class="line s{style}" points="{corners}"/>'


def _dots(axes: _Axes, series: Series, style: int) -> Iterator[str]:
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(y):
            yield f'<circle class="dot s{style}" cx="{axes.x(x)}" cy="{axes.y(y)}" r="4"/>'


def _bars(axes: _Axes, panel: Panel, series: Series, style: int) -> Iterator[str]:
    beside = [other for other in panel.series if other.kind == "bars"]
    centres = sorted({x for other in beside for x in other.x})
    apart = min((b - a for a, b in pairwise(centres)), default=1.0)
    wide = 0.8 * apart / len(beside)
    shift = (next(i for i, other in enumerate(beside) if other is series) - len(beside) / 2) * wide
    zero = axes.y(max(0.0, axes.y_ticks[0]))
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(y):
            left, right, end = axes.x(x + shift), axes.x(x + shift + wide), axes.y(y)
            top, height = min(zero, end), round(abs(zero - end), 2)
            yield (
                f'<rect class="bar s{style}" x="{left}" y="{top}" width="{round(right - left, 2)}" height="{height}"/>'
            )
