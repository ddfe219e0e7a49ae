"""From contrasts to verdicts, by the intervals of comparisons: a claim holds, does not hold, or is undecided.

All contrasts of a claim are judged at once, by simultaneous intervals. A contrast holds where its whole interval lies
on the claimed side of zero, and does not where it lies on the other; where it includes zero, nothing is decided, and
one seed decides nothing at all. A claim holds if all its contrasts do, and does not if one of them does not.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from hardmine.claims.claim import Contrast, Side
from hardmine.evaluation import NO_VERDICT, Difference, differences

__all__ = ["VERDICTS", "Finding", "Verdict", "judge_contrasts", "overall"]

Verdict = Literal["holds", "does not hold", "undecided", "one seed: no verdict"]
VERDICTS: tuple[Verdict, ...] = ("holds", "does not hold", "undecided", NO_VERDICT)
ZERO = "zero"
NUM_ROWS = 101
"""Of values that draws of images say nothing of, repeated as if they did: their interval is that of the seeds alone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A contrast as it was found: mean over the seeds, with the interval that holds for all contrasts of the claim."""

    text: str
    claimed: Side
    value: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)


def judge_contrasts(contrasts: Sequence[Contrast], num_units: int | None = None) -> list[Finding]:
    """What each contrast of a claim says; num_units: images that were drawn from, None where none has draws.

    Raises: as `differences`: seeds that differ in number, a value that is not finite.
    """
    num_rows = max([np.shape(of.values)[0] for of in contrasts if np.ndim(of.values) == 2], default=NUM_ROWS)
    values = [np.broadcast_to(of.values, (num_rows, np.shape(of.values)[-1])) for of in contrasts]
    named = {str(place): of for place, of in enumerate(values)}
    found = differences({ZERO: np.zeros_like(values[0]), **named}, num_units or NUM_ROWS)
    return [
        _finding(contrast, found[place], of[0]) for contrast, (place, of) in zip(contrasts, named.items(), strict=True)
    ]


def overall(findings: Sequence[Finding]) -> Verdict:
    """The verdict on the claim."""
    verdicts = {finding.verdict for finding in findings}
    return next(of for of in (NO_VERDICT, "does not hold", "undecided", "holds") if of in verdicts)  # pyright: ignore[reportReturnType]


def _finding(contrast: Contrast, found: Difference, by_seed: np.ndarray) -> Finding:
    low, high = found.simultaneous_low, found.simultaneous_high
    seeds = tuple(float(value) for value in by_seed)
    return Finding(contrast.text, contrast.claimed, found.value, low, high, seeds, _verdict(contrast.claimed, found))


def _verdict(claimed: Side, found: Difference) -> Verdict:
    if found.num_seeds == 1:
        return "one seed: no verdict"
    sides: dict[str, Side] = {"better": "above", "worse": "below"}
    side = sides.get(found.verdict)
    if side is None:
        return "undecided"
    return "holds" if side == claimed else "does not hold"
