"""What stands in `metrics.jsonl`, one line a finished epoch: measures, the loss and its parts, rates and times.

Whoever reads it here need not wait for torch.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from hardmine.errors import RunError
from hardmine.files.reading import LARGEST, read_text

__all__ = ["EPOCH", "LOSS", "Rows", "is_number", "parts_of_loss", "points", "read_rows"]

Rows = Sequence[Mapping[str, Any]]
EPOCH, LOSS = "epoch", "loss"
REMEDY = "continue the run with --resume, or train it again"
BESIDE_LOSSES = frozenset(
    (
        *(EPOCH, "step", "lr", "seconds", "seconds_per_step", "images_per_second"),
        *("peak_memory_mb", "peak_memory_of"),
        *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100", "per_class"),
        *("miou", "accuracy", "mean_accuracy", "boundary_iou", "iou_per_class", "boundary_iou_per_class"),
    )
)
"""What a line holds beside the loss and its parts; the last are the fields of `Metrics` and `MaskMetrics`."""


def read_rows(file: Path) -> Rows:
    """The lines of a file. Raises: RunError: it cannot be read, or is damaged."""
    try:
        rows = [json.loads(line) for line in read_text(file, 16 * LARGEST).splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:  # what cannot be opened is a ValueError, too
        raise RunError(f"{file} cannot be read ({error}); {REMEDY}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise RunError(f"{file} is damaged (expected an object a line); {REMEDY}")
    return rows


def parts_of_loss(runs: Iterable[Rows]) -> list[str]:
    """Names of the parts of the loss of any run, in the order in which they stand."""
    names = dict.fromkeys(name for rows in runs for row in rows for name, value in row.items() if is_number(value))
    return [name for name in names if name != LOSS and name not in BESIDE_LOSSES]


def points(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    """The epochs that have a number of this name, and those numbers."""
    known = [row for row in rows if is_number(row.get(EPOCH)) and is_number(row.get(name))]
    return [row[EPOCH] for row in known], [row[name] for row in known]


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number as JSON has them; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
