"""What a claim is: the field's words, what is trained to check them, and the contrasts by which they hold or not.

A contrast is a number that is above zero if the claim is right, or below; nearly always it is a difference between two
trainings. Whether it is, is read from an interval (`contrasts`), never from the number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hardmine.training import TrainingConfig

if TYPE_CHECKING:
    from hardmine.claims.runs import Runs

__all__ = ["NO_DATA", "Cell", "Claim", "Contrast", "Measurement", "Side", "cell"]

Side = Literal["above", "below"]
NO_DATA = "no data"
"""In the place of a data set, of a claim that needs none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of training, the same for all seeds; claims that need the same one share its runs."""

    detector: str
    recipe: str
    options: tuple[tuple[str, Any], ...] = ()
    label_errors: str | None = None

    @property
    def label(self) -> str:
        """As a table and a folder show it: `retinanet-focal-gamma=0.0`."""
        options = (f"{name}={value}" for name, value in self.options)
        return "-".join([self.detector, self.recipe, *options, *filter(None, [self.label_errors])])

    def changes(self) -> dict[str, Any]:
        """The training options that it sets."""
        names = {"detector": self.detector, "recipe": self.recipe, "recipe_options": dict(self.options)}
        return names | {"label_errors": self.label_errors}

    def of(self, config: TrainingConfig) -> bool:
        """Whether a configuration is one of its trainings."""
        return all(getattr(config, name) == value for name, value in self.changes().items())


def cell(detector: str, recipe: str, *, label_errors: str | None = None, **options: Any) -> Cell:
    """A cell with some options of its recipe."""
    return Cell(detector, recipe, tuple(options.items()), label_errors)


@dataclass(frozen=True, slots=True)
class Contrast:
    """A number that the claim says lies above or below zero.

    text: what it is.  values: (1 + R, S), of the run under each of S seeds, on the measured images as they are and on R
    draws of them; or (S,), where draws say nothing of it.
    """

    text: str
    values: np.ndarray
    claimed: Side = "above"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of a claim: its contrasts, and numbers that belong beside them (name -> of each seed)."""

    contrasts: Sequence[Contrast]
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Something that the field says, and how it is checked.

    slug: its name.  ids: the rows of docs/coverage.md that it answers.  words, source: who says what.  published: the
    figures that come with it.  cells: what is trained.  data: what to check it on at full scale.
    """

    slug: str
    ids: tuple[str, ...]
    words: str
    source: str
    published: str
    measure: Callable[["Runs"], Measurement]
    cells: tuple[Cell, ...] = ()
    data: str = "COCO"
    notes: str = ""
