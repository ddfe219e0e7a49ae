"""Label errors planted on purpose, with the truth kept beside them: to measure a search for mislabelled objects by,
or what a method makes of wrong labels.

dropped    an object loses its box
shifted    a box is moved by a third to a half of its side, so that it is no longer the object's
swapped    an object gets the label of another class
spurious   a box is drawn where there is no object
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, TypeVar

import numpy as np

from hardmine.data.derived import DerivedDataset
from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.data.telling import say_once
from hardmine.errors import ConfigError
from hardmine.launch import is_first

__all__ = [
    "ERROR_KINDS",
    "ErrorKind",
    "ErrorShares",
    "PlantedError",
    "WithLabelErrors",
    "generator_of",
    "is_apart",
    "parse_shares",
    "plant_errors",
    "planted_in",
    "shares_of",
    "with_label_errors",
]


ErrorKind = Literal["dropped", "shifted", "swapped", "spurious"]
ERROR_KINDS: tuple[ErrorKind, ...] = ("dropped", "shifted", "swapped", "spurious")
ErrorShares = Mapping[ErrorKind, float]
"""Of each kind, how large a share of the objects meets it; the sum is at most 1, as an object meets one at most."""

Kind = TypeVar("Kind", bound=str)

SEED = 20_261_129
"""Of the errors of every data set, so that all runs on it learn from the same ones."""

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


def parse_shares(text: str) -> dict[ErrorKind, float]:
    """Reads "dropped=.2" or "dropped=.2,swapped=.1".

    Raises: ConfigError: it is no such text, a kind is unknown or there twice, or the shares are no shares.
    """
    return shares_of(text, ERROR_KINDS, "objects")


def shares_of(text: str, kinds: Sequence[Kind], of: str) -> dict[Kind, float]:
    """The same with other kinds of errors, and of whatever they are shares."""
    by_name, shares = {str(kind): kind for kind in kinds}, {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        kind = by_name.get(name.strip())
        if kind is None or kind in shares:
            raise _no_shares(text, kinds, of)
        try:
            shares[kind] = float(number)
        except ValueError as error:
            raise _no_shares(text, kinds, of) from error
    if not _are_shares(shares):
        raise _no_shares(text, kinds, of)
    return shares


def _no_shares(text: str, kinds: Sequence[str], of: str) -> ConfigError:
    return ConfigError(
        f"label_errors is {text!r}, expected shares of the {of} such as dropped=.2,swapped=.1: each above 0, "
        f"together at most 1, each kind once, of {', '.join(kinds)}"
    )


def _are_shares(shares: Mapping[Any, float]) -> bool:
    return all(share > 0 for share in shares.values()) and sum(shares.values()) <= 1 + 1e-9


class WithLabelErrors(DerivedDataset):
    """A data set with wrong labels. planted: each of them and what would be right, in the order of the images."""

    def __init__(self, parent: DetectionDataset, records: Sequence[ImageRecord], planted: Sequence[PlantedError]):
        super().__init__(parent, parent.split, range(len(records)), records)
        self.planted = tuple(planted)


def with_label_errors(dataset: DetectionDataset, shares: ErrorShares) -> WithLabelErrors:
    """The data set with these shares of its objects labelled wrong.

    Which objects and how depends on nothing but the shares and the image: its labels, its size and its id, or where it
    has none the names of its file and folder. So a part of the data set has the errors that the whole has there.
    Crowds stay as they are and are no objects; a spurious box keeps away from them and from what could not be read.

    Raises: ConfigError: labels of a single class cannot be swapped.
    """
    num_classes = len(dataset.classes)
    if shares.get("swapped") and num_classes < 2:
        raise ConfigError(f"label_errors: swapped needs two classes; {dataset.name} has only {dataset.classes[0]!r}")
    outcomes = [plant_errors(record, shares, num_classes, _generator(record)) for record in dataset.records]
    planted = [error for _, errors in outcomes for error in errors]
    _tell_planted(dataset, planted)
    return WithLabelErrors(dataset, [record for record, _ in outcomes], planted)


def _tell_planted(dataset: DetectionDataset, planted: Sequence[PlantedError]) -> None:
    counts = Counter(error.kind for error in planted)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in ERROR_KINDS if counts[kind]) or "none"
    num_objects = sum(int((~record.is_crowd).sum()) for record in dataset.records)
    if is_first():
        say_once(f"{dataset.name}, split {dataset.split!r}: planted among {num_objects} objects: {told}", logging.INFO)


def planted_in(dataset: DetectionDataset) -> WithLabelErrors | None:
    """The data set that this one is made of, or is, in which errors were planted; None: in none."""
    while isinstance(dataset, DerivedDataset):
        if isinstance(dataset, WithLabelErrors):
            return dataset
        dataset = dataset.parent
    return None


def _generator(record: ImageRecord) -> np.random.Generator:
    """Randomness of an image, whatever its place among the others and wherever the data set lies."""
    path = () if record.file is None else record.file.parts[-2:]
    return generator_of(record.ids or path or (record.image_id,), record.width, record.height)


def generator_of(called: Sequence[int | str], width: int, height: int) -> np.random.Generator:
    """Randomness of an image that is called so and has this size, for errors to be planted in its labels."""
    digest = sha256(json.dumps([called, width, height]).encode()).digest()
    return np.random.default_rng([SEED, *np.frombuffer(digest, dtype=np.uint32).tolist()])


@dataclass(frozen=True, slots=True)
class _Label:
    """One label of an image. source: the object of the record whose label it is or was; None: of none."""

    box: Box
    label: int
    source: int | None


def plant_errors(
    record: ImageRecord,
    shares: float | ErrorShares,
    num_classes: int,
    rng: np.random.Generator,
    taken: np.ndarray | None = None,
) -> tuple[ImageRecord, list[PlantedError]]:
    """The record with errors, and what they are: each object but crowds meets one at most.

    A swap needs two classes, and a spurious box free ground, away from every object and from `taken` (m, 4); where they
    cannot be had, the object stays right.

    Args: shares: the probability of each kind; a number is that of all together, which are all alike then.
    Raises: ConfigError: a number outside 0..1, or shares that are more than 1 together.
    """
    draw = _drawn_alike(shares) if isinstance(shares, float | int) else _drawn_by_share(shares)
    elsewhere = [record.boxes, record.regions, *([] if taken is None else [taken])]
    ground = _Ground(np.concatenate(elsewhere), (record.width, record.height), rng)
    labels: list[_Label] = []
    errors: list[PlantedError] = []
    for place, (corners, label) in enumerate(zip(record.boxes, record.labels.tolist(), strict=True)):
        right = (_as_box(corners), label)
        kind = None if record.is_crowd[place] else draw(rng)
        wrong = None if kind is None else _wrong_object(kind, corners, label, num_classes, ground)
        if kind is None or (wrong is None and kind != "dropped"):
            labels.append(_Label(*right, place))
            continue
        is_added = kind == "spurious"
        labels += [_Label(*right, place)] * is_added
        labels += [_Label(*wrong, None if is_added else place)] if wrong else []
        truth = (None, None) if is_added else right
        errors.append(PlantedError(kind, record.image_id, *(wrong or (None, None)), *truth))
    return (_with_labels(record, labels) if errors else record), errors


def _drawn_alike(fraction: float) -> Callable[[np.random.Generator], ErrorKind | None]:
    if not 0 <= fraction <= 1:
        raise ConfigError(f"label_errors is {fraction}, expected a fraction from 0 to 1")
    return lambda rng: ERROR_KINDS[rng.integers(len(ERROR_KINDS))] if rng.random() < fraction else None


def _drawn_by_share(shares: ErrorShares) -> Callable[[np.random.Generator], ErrorKind | None]:
    if not _are_shares(shares):
        raise ConfigError(f"label_errors is {dict(shares)}, expected shares above 0 that are at most 1 together")
    kinds: tuple[ErrorKind | None, ...] = (*ERROR_KINDS, None)
    ends = np.cumsum([shares.get(kind, 0) for kind in ERROR_KINDS])
    return lambda rng: kinds[int(np.searchsorted(ends, rng.random(), side="right"))]


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


def _with_labels(record: ImageRecord, labels: Sequence[_Label]) -> ImageRecord:
    boxes = np.array([label.box for label in labels], dtype=np.float32).reshape(-1, 4)
    sources = np.array([-1 if label.source is None else label.source for label in labels], dtype=np.int64)
    return replace(
        record,
        boxes=boxes,
        labels=np.array([label.label for label in labels], dtype=np.int64),
        is_crowd=np.append(record.is_crowd, False)[sources],
        areas=None if record.areas is None else _areas(record, boxes, sources),
        weights=None if record.weights is None else np.append(record.weights, np.float32(1))[sources],
        missed=None if record.missed is None else np.append(record.missed, False)[sources],
        duplicate_of=None if record.duplicate_of is None else _moved(record.duplicate_of, sources),
    )


def _areas(record: ImageRecord, boxes: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """(n,) the file's own, less where a moved box was cut at the border; of a spurious box that of the box."""
    own, before = (np.append(areas, 1)[sources] for areas in (record.object_areas(), _sizes(record.boxes)))
    return (own * (_sizes(boxes) / before)).astype(np.float32)


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _moved(places: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Where objects, given by their places, are now; those that are gone are left out."""
    now = {source: place for place, source in enumerate(sources.tolist()) if source >= 0}
    return np.array([now[place] for place in places.tolist() if place in now], dtype=np.int64)
