"""A figure as plain numbers: what is drawn, and how it is labelled. Nothing here draws."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Figure", "Panel", "Series"]

Kind = Literal["line", "bars", "steps", "points"]


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers under one name.

    kind: "line" joins (x, y); "points" does not; "bars" stand at x; "steps" are a histogram, whose x are the edges of
    its bins, one more than y.
    is_own: of the method that the figure is about, among others that it is compared with; drawn black and thick.
    group: series of one group look alike, and have one entry in the legend, by the name of the group.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Kind = "line"
    is_own: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. Labels name the unit, where there is one.

    ticks: words that stand at x = 0, 1, 2, ... instead of numbers.  row: panels of one row stand side by side.
    counts: x counts something, from the first of these numbers to the last; None: x is any number.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_y: bool = False
    ticks: Sequence[str] = ()
    row: int = 0
    counts: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels under one title, and what a reader must know to read them right."""

    title: str
    panels: Sequence[Panel]
    note: str = ""

    @property
    def rows(self) -> list[list[Panel]]:
        """The panels, row by row."""
        numbers = sorted({panel.row for panel in self.panels})
        return [[panel for panel in self.panels if panel.row == number] for number in numbers]

    def beside(self, other: "Figure") -> "Figure":
        """This figure with the panels of another one to the right of its own."""
        return self._with(other, 0)

    def above(self, other: "Figure") -> "Figure":
        """This figure with the panels of another one below its own."""
        return self._with(other, max((panel.row + 1 for panel in self.panels), default=0))

    def _with(self, other: "Figure", rows_down: int) -> "Figure":
        moved = [replace(panel, row=panel.row + rows_down) for panel in other.panels]
        note = " ".join(note for note in (self.note, other.note) if note)
        return replace(self, panels=[*self.panels, *moved], note=note)
