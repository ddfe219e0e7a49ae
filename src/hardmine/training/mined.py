"""What a mined folder says to the next round: how often each image is drawn, and how much each label counts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hardmine.boxes import SIDES
from hardmine.data import DerivedDataset, DetectionDataset, ImageRecord
from hardmine.errors import DataError
from hardmine.training.batches import are_weights

__all__ = ["image_weights", "treat_suspects"]


def image_weights(folder: Path | str, dataset: DetectionDataset) -> np.ndarray:
    """The weight of each image of a data set, (n,) float64, from `images.parquet` in a folder of `hardmine mine`.

    Raises: DataError: there is no such table, an image of the data set is not in it or is twice, or weights that are
        not finite, are negative or all 0.
    """
    file = Path(folder) / "images.parquet"
    table = _read(file, {"image_id": pl.Int64, "weight": pl.Float64})
    weight_of = dict(table.iter_rows())
    ids = [record.image_id for record in dataset.records]
    missing = [image_id for image_id in ids if image_id not in weight_of]
    if missing or len(weight_of) < len(table):
        what = f"no image id {missing[0]}" if missing else "an image id twice"
        raise DataError(f"{file}: {what}; mine the split that is trained on, {dataset.name} {dataset.split!r}")
    return _checked(np.array([weight_of[image_id] for image_id in ids], dtype=float), file)


def treat_suspects(folder: Path | str, dataset: DetectionDataset, how: str) -> DetectionDataset:
    """The data set with the labels that `suspects.parquet` lists doubted; a missing one is no background any more.

    Args: how: "down": a label counts by the probability that it is right; "drop": it is neither an object nor
        background, as a crowd; "keep": all labels stay as they are.
    Raises: DataError: there is no such table, or labels in it that the data set does not have.
    """
    if how == "keep":
        return dataset
    file = Path(folder) / "suspects.parquet"
    columns = {"image_id": pl.Int64, "kind": pl.String, "probability": pl.Float64}
    columns |= {f"{prefix}{side}": pl.Float64 for prefix in ("", "suggested_") for side in SIDES}
    table = _read(file, columns)
    if not table["probability"].is_between(0, 1).all():
        raise DataError(f"{file}: probabilities must be from 0 to 1; mine again")
    suspects = table.partition_by("image_id", as_dict=True)
    records = [_doubted(record, suspects.get((record.image_id,)), how, file) for record in dataset.records]
    return DerivedDataset(dataset, dataset.split, range(len(records)), records)


def _doubted(record: ImageRecord, suspects: pl.DataFrame | None, how: str, file: Path) -> ImageRecord:
    if suspects is None:
        return record
    is_missing = suspects["kind"].to_numpy() == "missing"
    labels = suspects.filter(~is_missing)
    places = _places(record, labels.select(SIDES).to_numpy(), file)
    if how == "down":
        weights = np.ones(len(record.labels), dtype=np.float32) if record.weights is None else record.weights.copy()
        weights[places] *= 1 - labels["probability"].to_numpy()
        record = replace(record, weights=weights)
    else:
        is_crowd = record.is_crowd.copy()
        is_crowd[places] = True
        record = replace(record, is_crowd=is_crowd)
    regions = suspects.filter(is_missing).select(f"suggested_{side}" for side in SIDES).to_numpy()
    return _with_regions(record, regions)


def _places(record: ImageRecord, boxes: np.ndarray, file: Path) -> np.ndarray:
    """Which objects of the record have these boxes."""
    same = (np.abs(boxes[:, None] - record.boxes[None]) < 0.01).all(axis=-1)
    absent = np.flatnonzero(~same.any(axis=-1))
    if len(absent):
        raise DataError(
            f"{file}: image id {record.image_id} has no label with the box {boxes[absent[0]].tolist()}; mine again"
        )
    return same.argmax(axis=-1)


def _with_regions(record: ImageRecord, regions: np.ndarray) -> ImageRecord:
    """With crowds there: neither object nor background."""
    regions = regions.clip(0, [record.width, record.height] * 2).astype(np.float32)
    regions = regions[(regions[:, 2:] > regions[:, :2]).all(axis=1)]
    num = len(regions)
    changed: dict[str, Any] = {
        "boxes": np.concatenate([record.boxes, regions]),
        "labels": np.concatenate([record.labels, np.zeros(num, dtype=record.labels.dtype)]),
        "is_crowd": np.concatenate([record.is_crowd, np.ones(num, dtype=bool)]),
    }
    if record.weights is not None:
        changed["weights"] = np.concatenate([record.weights, np.ones(num, dtype=np.float32)])
    return replace(record, areas=None, **changed)


def _read(file: Path, columns: dict[str, Any]) -> pl.DataFrame:
    try:
        return pl.read_parquet(file).select(pl.col(name).cast(kind) for name, kind in columns.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file}: cannot be read ({reason}); give the folder that `hardmine mine` wrote") from error


def _checked(weights: np.ndarray, file: Path) -> np.ndarray:
    if not are_weights(weights):
        raise DataError(f"{file}: weights must be finite, at least 0 and not all 0; mine again")
    return weights
