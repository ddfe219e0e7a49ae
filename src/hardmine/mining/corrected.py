"""A data set with its labels put right as people decided: see `training.decisions` for what they wrote down.

    spurious         the label is removed
    wrong class      it gets the suggested class
    badly located    it gets the suggested box; where there is none, its place is neither object nor background
    missing          the suggested label is added, unless the same prediction said how another label should be
    duplicate        nothing: readers leave out what is there twice, whatever was decided

What was rejected, and what nobody decided, stays as it is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hardmine.data import DerivedDataset, DetectionDataset, ImageRecord
from hardmine.errors import ConfigError, DataError
from hardmine.files.reading import parse_json, read_text
from hardmine.tables.columns import SIDES
from hardmine.training.decisions import read_decisions
from hardmine.training.mined import label_places, suspects_by_image

__all__ = ["Corrected", "correct", "correct_splits", "told"]

FACTS = "mined.json"
"""What a mined folder says for programs; older ones say nothing."""
UNKNOWN = "unknown"
DONE = {
    "spurious": "removed",
    "wrong class": "given another class",
    "badly located": "moved",
    "missing": "added",
    UNKNOWN: "neither object nor background, as no prediction says what they should be",
}


class Corrected(DerivedDataset):
    """A data set with corrected labels. counts: how many, by the kind of the fault, or "unknown"."""

    def __init__(self, parent: DetectionDataset, records: Sequence[ImageRecord], counts: Mapping[str, int]):
        super().__init__(parent, parent.split, range(len(records)), records)
        self.counts = dict(counts)


def correct(dataset: DetectionDataset, mined: Path | str, decisions: Path | str) -> Corrected:
    """The data set with each accepted suspicion put right.

    Raises: DataError: as `read_decisions`, labels or images that the data set does not have, or a suggested class that
        is none of its classes.
    """
    return _correct(dataset, Path(mined), read_decisions(decisions, mined))


def correct_splits(
    datasets: Mapping[str, DetectionDataset], mined: Path | str, decisions: Path | str
) -> dict[str, DetectionDataset]:
    """All splits, the mined one corrected: that which the mined folder names, or whose images and labels it has.

    Raises: DataError: as `correct`, or the mined folder is of none of them.
        ConfigError: several may be meant, as their images have no names.
    """
    mined, decided = Path(mined), read_decisions(decisions, mined)
    split = _mined_split(mined)
    named = [name for name, dataset in datasets.items() if dataset.split == split]
    if len(datasets) > 1 and not named and any(dataset.folder is None for dataset in datasets.values()):
        raise ConfigError(f"{mined} does not say which split was mined, and images have no names; give it with --split")
    chosen = named or [name for name, dataset in datasets.items() if len(datasets) == 1 or _is_of(mined, dataset)]
    if not chosen:
        raise DataError(
            f"{mined}: it is of other images or labels than those of {', '.join(datasets)}; give the data that was "
            "mined, or mine again"
        )
    try:
        return {name: _correct(of, mined, decided) if name in chosen else of for name, of in datasets.items()}
    except DataError as error:
        if named or split is None:
            raise
        raise DataError(
            f"{mined}: the split {split!r} was mined, and {', '.join(chosen)} is not it ({error}); choose that with "
            "--split, or give none"
        ) from error


def told(datasets: Iterable[DetectionDataset]) -> str:
    """How many labels were put right, in words."""
    counts = sum((Counter(of.counts) for of in datasets if isinstance(of, Corrected)), Counter[str]())
    parts = [f"{counts[kind]} {done}" for kind, done in DONE.items() if counts[kind]]
    return f"Labels put right: {', '.join(parts) or 'none'}"


def _mined_split(mined: Path) -> str | None:
    try:
        facts = parse_json(read_text(mined / FACTS))
    except (DataError, ValueError, RecursionError):
        return None
    return (facts.get("split") or None) if isinstance(facts, dict) else None


def _is_of(mined: Path, dataset: DetectionDataset) -> bool:
    """Whether the data set has the images and the labels: images of two splits may be called alike."""
    try:
        for record, suspects in zip(dataset.records, suspects_by_image(mined, dataset), strict=True):
            if suspects is not None:
                label_places(record, dataset.classes, suspects.filter(pl.col("kind") != "missing"), mined)
    except DataError:
        return False
    return True


def _correct(dataset: DetectionDataset, mined: Path, decided: Mapping[int, bool]) -> Corrected:
    accepted = [row for row, is_accepted in decided.items() if is_accepted]
    records, counts = [], Counter[str]()
    for record, suspects in zip(dataset.records, suspects_by_image(mined, dataset), strict=True):
        wrong = None if suspects is None else suspects.filter(pl.col("row").is_in(accepted))
        if wrong is None or not len(wrong):
            records.append(record)
            continue
        fields = _corrected(record, dataset.classes, wrong, mined)
        records.append(fields.record())
        counts += fields.counts
    return Corrected(dataset, records, counts)


def _corrected(record: ImageRecord, classes: Sequence[str], wrong: pl.DataFrame, mined: Path) -> "_Fields":
    is_missing = pl.col("kind") == "missing"
    labels, missing = wrong.filter(~is_missing), wrong.filter(is_missing)
    fields = _Fields(record)
    for place, suspect in zip(label_places(record, classes, labels, mined), labels.iter_rows(named=True), strict=True):
        fields.change(place, suspect["kind"], *_suggested(record, classes, suspect, mined))
    is_used = pl.col("prediction").is_in(labels["prediction"].drop_nulls().implode())
    for suspect in missing.filter(~is_used.fill_null(False)).iter_rows(named=True):
        box, label = _suggested(record, classes, suspect, mined)
        if box is None or label is None:
            raise _wrong(suspect, mined, "without a class, or a box in the image", "reject it, or mine again")
        fields.add(box, label)
    return fields


class _Fields:
    """The objects of a record while they are changed: none changes its place before `record` is asked for."""

    def __init__(self, record: ImageRecord) -> None:
        self.before = record
        self.boxes, self.labels, self.is_crowd = record.boxes.copy(), record.labels.copy(), record.is_crowd.copy()
        self.areas = None if record.areas is None else record.areas.copy()
        self.weights = record.weights
        self.is_kept = np.ones(len(record.labels), dtype=bool)
        self.counts = Counter[str]()

    def change(self, place: int, kind: str, box: np.ndarray | None, label: int | None) -> None:
        match kind:
            case "spurious":
                self.is_kept[place] = False
            case "wrong class" if label is not None:
                self.labels[place] = label
            case "badly located" if box is not None:
                self.boxes[place] = box
                if self.areas is not None:
                    self.areas[place] = _area(box)
            case _:
                self.is_crowd[place] = True
                kind = UNKNOWN
        self.counts[kind] += 1

    def add(self, box: np.ndarray, label: int) -> None:
        self.counts["missing"] += 1
        self.boxes = np.concatenate([self.boxes, box[None].astype(np.float32)])
        self.labels = np.append(self.labels, np.int64(label))
        self.is_crowd, self.is_kept = np.append(self.is_crowd, False), np.append(self.is_kept, True)
        if self.areas is not None:
            self.areas = np.append(self.areas, np.float32(_area(box)))
        if self.weights is not None:
            self.weights = np.append(self.weights, np.float32(1))

    def record(self) -> ImageRecord:
        kept = self.is_kept
        twice = self.before.duplicate_of
        now = np.cumsum(kept) - 1
        return replace(
            self.before,
            boxes=self.boxes[kept],
            labels=self.labels[kept],
            is_crowd=self.is_crowd[kept],
            areas=None if self.areas is None else self.areas[kept],
            weights=None if self.weights is None else self.weights[kept],
            missed=None,
            duplicate_of=None if twice is None else now[twice[kept[twice]]],
        )


def _suggested(
    record: ImageRecord, classes: Sequence[str], suspect: Mapping[str, Any], mined: Path
) -> tuple[np.ndarray | None, int | None]:
    """The box (4,) inside the image and the label that it should be; None where no prediction says it."""
    name = suspect["suggested_category"]
    if name is not None and name not in classes:
        raise _wrong(
            suspect, mined, f"of class {name!r}, which the data set does not have", "give the data that was mined"
        )
    sides = [suspect[f"suggested_{side}"] for side in SIDES]
    if None in sides:
        return None, None if name is None else classes.index(name)
    box = np.clip(np.array(sides, dtype=np.float32), 0, np.array([record.width, record.height] * 2, dtype=np.float32))
    return box if _area(box) > 0 else None, None if name is None else classes.index(name)


def _area(box: np.ndarray) -> float:
    width, height = box[2:] - box[:2]
    return float(max(width, 0) * max(height, 0))


def _wrong(suspect: Mapping[str, Any], mined: Path, what: str, remedy: str) -> DataError:
    return DataError(f"{mined / 'suspects.parquet'}: row {suspect['row']} is a suggestion {what}; {remedy}")
