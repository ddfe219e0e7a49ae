"""Label errors planted on purpose, with the truth kept beside them, to measure a search for mislabelled objects by.

dropped    an object loses its box
shifted    a box is moved by a third to a half of its side, so that it is no longer the object's
swapped    an object gets the label of another class
spurious   a box is drawn where there is no object
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hardmine.data.records import ImageRecord
from hardmine.errors import ConfigError

__all__ = ["ERROR_KINDS", "ErrorKind", "PlantedError", "is_apart", "plant_errors"]

ErrorKind = Literal["dropped", "shifted", "swapped", "spurious"]
ERROR_KINDS: tuple[ErrorKind, ...] = ("dropped", "shifted", "swapped", "spurious")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PlantedError:
    """One wrong label: the annotation as it is now (None if dropped) and as it would be right (None if spurious)."""

    kind: ErrorKind
    image_id: int
    box: Box | None
    label: int | None
    true_box: Box | None
    true_label: int | None


def plant_errors(
    record: ImageRecord, fraction: float, num_classes: int, rng: np.random.Generator, taken: np.ndarray
) -> tuple[ImageRecord, list[PlantedError]]:
    """The record with errors, and what they are: each object meets one with probability `fraction`, all kinds alike.

    A swap needs two classes, and a spurious box free ground, away from every object and from `taken` (m, 4); where they
    cannot be had, the object stays right. The record must be without crowd regions.

    Raises: ConfigError: the fraction is outside 0..1.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"label_errors is {fraction}, expected a fraction from 0 to 1")
    ground = _Ground(np.concatenate([record.boxes, taken]), (record.width, record.height), rng)
    objects: list[tuple[Box, int]] = []
    errors: list[PlantedError] = []
    for corners, label in zip(record.boxes, record.labels.tolist(), strict=True):
        right = (_as_box(corners), label)
        kind = ERROR_KINDS[rng.integers(len(ERROR_KINDS))] if rng.random() < fraction else None
        wrong = None if kind is None else _wrong_object(kind, corners, label, num_classes, ground)
        if kind is None or (wrong is None and kind != "dropped"):
            objects.append(right)
            continue
        objects += [right] * (kind == "spurious") + ([wrong] if wrong else [])
        truth = (None, None) if kind == "spurious" else right
        errors.append(PlantedError(kind, record.image_id, *(wrong or (None, None)), *truth))
    return _with_objects(record, objects), errors


@dataclass(slots=True)
class _Ground:
    """Where boxes are in the image, and the randomness that puts new ones there."""

    occupied: np.ndarray  # (n, 4)
    size: tuple[int, int]
    rng: np.random.Generator

    def shift(self, corners: np.ndarray) -> Box:
        """Moves the box by .33 to .5 of its sides, towards more room, so that the border cannot undo it."""
        sides = corners[2:] - corners[:2]
        direction = np.where(corners[:2] + corners[2:] > np.array(self.size), -1, 1)
        moved = corners + np.tile(direction * sides * self.rng.uniform(0.33, 0.5, 2), 2)
        return _as_box(np.clip(moved, 0, np.tile(self.size, 2)).astype(np.float32))

    def find_free(self, sides: np.ndarray, attempts: int = 50) -> Box | None:
        """A box of these sides that touches no other, or None if none was found."""
        for _ in range(attempts):
            corner = self.rng.uniform(0, np.array(self.size) - sides)
            box = np.concatenate([corner, corner + sides]).astype(np.float32)
            if is_apart(box, self.occupied):
                self.occupied = np.concatenate([self.occupied, [box]])
                return _as_box(box)
        return None


def is_apart(box: np.ndarray, others: np.ndarray) -> bool:
    """Whether the box (4,) overlaps none of the others (n, 4)."""
    return bool(np.all(np.any((box[2:] <= others[:, :2]) | (box[:2] >= others[:, 2:]), axis=1)))


def _wrong_object(
    kind: ErrorKind, corners: np.ndarray, label: int, num_classes: int, ground: _Ground
) -> tuple[Box, int] | None:
    """The object as it is wrongly annotated; None if it is dropped, or if the error cannot be had here."""
    if kind == "shifted":
        return ground.shift(corners), label
    if kind == "swapped" and num_classes > 1:
        return _as_box(corners), (label + int(ground.rng.integers(1, num_classes))) % num_classes
    if kind == "spurious" and (free := ground.find_free(corners[2:] - corners[:2])):
        return free, int(ground.rng.integers(num_classes))
    return None


def _as_box(corners: Sequence[float] | np.ndarray) -> Box:
    x1, y1, x2, y2 = (float(value) for value in corners)
    return x1, y1, x2, y2


def _with_objects(record: ImageRecord, objects: list[tuple[Box, int]]) -> ImageRecord:
    return replace(
        record,
        boxes=np.array([box for box, _ in objects], dtype=np.float32).reshape(-1, 4),
        labels=np.array([label for _, label in objects], dtype=np.int64),
        is_crowd=np.zeros(len(objects), dtype=bool),
        areas=None,
    )
