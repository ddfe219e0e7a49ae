"""What a mined folder says to the next round: how often an image is drawn, how much a label counts, what was missed.

Images are found again by the names of their files, and labels by their place among those of their image, their class
and their box: numbers and ids of a data set move when an image or a label comes or goes.
"""

import logging
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl

from hardmine.core.boxes import SIDES
from hardmine.data import (
    DerivedDataset,
    DetectionDataset,
    ImageRecord,
    SegmentationDataset,
    SegmentationRecord,
    with_crowds,
)
from hardmine.errors import DataError
from hardmine.files.reading import check_regular
from hardmine.training.batches import are_weights
from hardmine.training.decisions import DECISIONS_SUFFIX, read_decisions

__all__ = [
    "SAME_PX",
    "image_weights",
    "label_places",
    "mark_missed",
    "mined_images",
    "read_columns",
    "refuse_other_task",
    "rows_of_images",
    "suspects_by_image",
    "treat_suspects",
]

logger = logging.getLogger("hardmine")

IMAGE = {"image_id": pl.Int64}
IF_THERE = {"file_name": pl.String, "width": pl.Int64, "height": pl.Int64}
SUSPECT = {
    "image_id": pl.Int64,
    "kind": pl.String,
    "probability": pl.Float64,
    **{f"{prefix}{side}": pl.Float64 for prefix in ("", "suggested_") for side in SIDES},
}
WHICH_LABEL = {"object": pl.Int64, "category": pl.String, "suggested_category": pl.String, "prediction": pl.Int64}
OBJECT = {"image_id": pl.Int64, "object": pl.Int64, "kind": pl.String, **dict.fromkeys(SIDES, pl.Float64)}
SAME_PX = 0.01


def image_weights(folder: Path | str, dataset: DetectionDataset) -> np.ndarray:
    """The weight of each image of a data set, (n,) float64, from `images.parquet` in a folder of `hardmine mine`.

    Images that mining left out, since an object on them could not be read, have the mean weight, 1.

    Raises: DataError: there is no such table, an image of the data set is not in it or is another, or weights that are
        not finite, are negative or all 0.
    """
    file = Path(folder) / "images.parquet"
    rows = mined_images(file, dataset, {"weight": pl.Float64})
    weights = np.array([1.0 if row is None else row["weight"] for row in rows], dtype=float)
    if not are_weights(weights):
        raise DataError(f"{file}: weights must be finite, at least 0 and not all 0; mine again")
    return weights


def treat_suspects(folder: Path | str, dataset: DetectionDataset, how: str) -> DetectionDataset:
    """The data set with the labels that `suspects.parquet` lists doubted; a missing one is no background any more.

    Args: how: "down": a label counts by the probability that it is right; "drop": it is neither an object nor
        background, as a crowd; "keep": all labels stay as they are. Or the file of decisions, see `read_decisions`:
        what was accepted is dropped, what was rejected stays, what nobody decided is weighed down.
    Raises: DataError: there is no such table, labels in it that the data set does not have, or as `read_decisions`.
    """
    if how == "keep":
        return dataset
    decided = read_decisions(how, folder) if how.endswith(DECISIONS_SUFFIX) else None
    on_images = suspects_by_image(folder, dataset)
    if decided is not None:
        _tell_decided(how, decided, on_images)
    records = []
    for record, suspects in zip(dataset.records, on_images, strict=True):
        treated = pl.DataFrame() if suspects is None else _with_treatment(suspects, how, decided)
        records.append(_doubted(record, dataset.classes, treated, Path(folder)) if len(treated) else record)
    return DerivedDataset(dataset, dataset.split, range(len(records)), records)


def suspects_by_image(folder: Path | str, dataset: DetectionDataset) -> list[pl.DataFrame | None]:
    """The suspects on each image of a data set, duplicates left out, as readers leave them out; None: none.

    A row says what `suspects.parquet` does, the `row` of it, and the `place` of the label among those of its image,
    null where that is not known.

    Raises: DataError: the tables cannot be read, or are of other images.
    """
    folder = Path(folder)
    refuse_other_task(folder, of_masks=False)
    file = folder / "suspects.parquet"
    table = read_columns(file, SUSPECT, WHICH_LABEL).with_row_index("row").filter(pl.col("kind") != "duplicate")
    if not table["probability"].is_between(0, 1).all():
        raise DataError(f"{file}: probabilities must be from 0 to 1; mine again")
    return _by_image(folder, dataset, _with_places(folder, table))


def mark_missed(folder: Path | str, dataset: DetectionDataset) -> DetectionDataset:
    """The data set with the hard positives of `objects.parquet` marked: what was missed, or hardly found.

    Raises: DataError: there is no such table, or objects in it that the data set does not have.
    """
    folder = Path(folder)
    refuse_other_task(folder, of_masks=False)
    file = folder / "objects.parquet"
    table = _with_places(folder, read_columns(file, OBJECT, {"category": pl.String}))
    hard = _by_image(folder, dataset, table.filter(pl.col("kind") == "hard positive"))
    records = []
    for record, objects in zip(dataset.records, hard, strict=True):
        missed = np.zeros(len(record.labels), dtype=bool)
        if objects is not None:
            missed[label_places(record, dataset.classes, objects, folder, file.name)] = True
        records.append(replace(record, missed=missed) if missed.any() else record)
    return DerivedDataset(dataset, dataset.split, range(len(records)), records)


def _by_image(folder: Path, dataset: DetectionDataset, table: pl.DataFrame) -> list[pl.DataFrame | None]:
    """The rows of a table that are of each image of a data set; None: none."""
    of_image = table.partition_by("image_id", as_dict=True)
    images = folder / "images.parquet"
    has_ids = not images.exists() and not any(record.is_numbered for record in dataset.records)
    rows = [{"image_id": record.image_id} for record in dataset.records] if has_ids else mined_images(images, dataset)
    return [None if row is None else of_image.get((row["image_id"],)) for row in rows]


def _tell_decided(how: str, decided: Mapping[int, bool], on_images: Sequence[pl.DataFrame | None]) -> None:
    """Duplicates are in no count: readers leave them out."""
    rows = [row for suspects in on_images if suspects is not None for row in suspects["row"]]
    of = Counter(decided.get(row) for row in rows)
    told = "%s: of %d suspects %d are left out as accepted, %d kept as rejected, %d undecided and weighed down"
    logger.info(told, how, len(rows), of[True], of[False], of[None])


def _with_treatment(suspects: pl.DataFrame, how: str, decided: Mapping[int, bool] | None) -> pl.DataFrame:
    """The suspects that are not to be kept as they are, with what becomes of each in `is_dropped`."""
    if decided is None:
        return suspects.with_columns(is_dropped=pl.lit(how == "drop"))
    is_dropped = [decided.get(row, False) for row in suspects["row"]]
    is_doubted = [decided.get(row, True) for row in suspects["row"]]
    return suspects.with_columns(is_dropped=pl.Series(is_dropped, dtype=pl.Boolean)).filter(pl.Series(is_doubted))


def mined_images(
    file: Path, dataset: DetectionDataset, more: Mapping[str, Any] | None = None
) -> list[dict[str, Any] | None]:
    """The row of `images.parquet` of each image of the data set; None where mining left it out as incomplete.

    Rows are found by file name; by id only where the table or the data set has no names, and the ids are its own.

    Raises: DataError: it cannot be read, or is of other images.
    """
    refuse_other_task(file.parent, of_masks=False)
    table = read_columns(file, {**IMAGE, **(more or {})}, IF_THERE)
    has_names = bool((table["file_name"].fill_null("") != "").any()) and dataset.folder is not None
    if not has_names and any(record.is_numbered for record in dataset.records):
        raise DataError(f"{file}: no file names, and {dataset.name} has no ids of its own; mine it again")
    return rows_of_images(file, table, dataset, has_names, [record.is_complete for record in dataset.records])


def rows_of_images(
    file: Path,
    table: pl.DataFrame,
    dataset: DetectionDataset | SegmentationDataset,
    by_name: bool,
    is_needed: Sequence[bool],
) -> list[dict[str, Any] | None]:
    """The row of each image, found by file name or by id; None where there is none, and none is needed.

    Raises: DataError: an image twice, a needed one that is not there, or one of another size.
    """
    key, called = ("file_name", "image") if by_name else ("image_id", "image id")
    by_key = {row[key]: row for row in table.iter_rows(named=True)}
    if len(by_key) < len(table):
        raise DataError(f"{file}: an {called} twice; mine again")
    keys = _names_in_table(dataset, by_key) if by_name else [record.image_id for record in dataset.records]
    found = [by_key.get(own) for own in keys]
    for own, row, record, needed in zip(keys, found, dataset.records, is_needed, strict=True):
        if row is None and needed:
            raise DataError(
                f"{file}: no {called} {own!r}; mine the split that is trained on, {dataset.name} {dataset.split!r}, "
                "again if images were added"
            )
        _refuse_other_size(file, row, record)
    _tell_removed(file, len(by_key.keys() - set(keys)))
    return found


def _names_in_table(dataset: DetectionDataset | SegmentationDataset, mined: Container[str]) -> list[str]:
    """What each image is called in the table: relative to the folder below which most of them are found in it.

    The folder may have been moved since, and the innermost one with all images is another once some are gone.
    """
    above = PurePosixPath() if dataset.folder is None else PurePosixPath(dataset.folder.as_posix())
    paths = [above / name for name in dataset.file_names]
    tops: Counter[PurePosixPath] = Counter()
    for path in paths:
        tops.update(top for top in path.parents if path.relative_to(top).as_posix() in mined)
    top = tops.most_common(1)[0][0] if tops else above
    return [path.relative_to(top).as_posix() if path.is_relative_to(top) else str(path) for path in paths]


def _refuse_other_size(file: Path, row: Mapping[str, Any] | None, record: ImageRecord | SegmentationRecord) -> None:
    size = (record.width, record.height)
    if row is not None and (row["width"] or size[0], row["height"] or size[1]) != size:
        raise DataError(
            f"{file}: {record.file or record.image_id} was {row['width']}x{row['height']} and is {size[0]}x{size[1]}; "
            "mine again"
        )


def refuse_other_task(folder: Path, *, of_masks: bool) -> None:
    """Raises: DataError: the folder was mined from masks and is to be of boxes, or the reverse."""
    from_boxes, from_masks = (folder / "suspects.parquet").exists(), (folder / "regions.parquet").exists()
    if from_masks and not from_boxes and not of_masks:
        raise DataError(f"{folder} was mined from masks, and boxes are learnt; mine boxes, or add --task segmentation")
    if from_boxes and not from_masks and of_masks:
        raise DataError(f"{folder} was mined from boxes, and masks are learnt; mine with --task segmentation")


def _tell_removed(file: Path, num: int) -> None:
    if num:
        logger.warning("%s: %d of its images are not in the data set that is trained on", file, num)


def _with_places(folder: Path, suspects: pl.DataFrame) -> pl.DataFrame:
    """The suspects with the place of each label among those of its image; null where the tables do not say."""
    file = folder / "objects.parquet"
    if not file.exists():
        return suspects.with_columns(place=pl.lit(None, pl.Int64))
    first = (
        read_columns(file, {"image_id": pl.Int64, "object": pl.Int64})
        .group_by("image_id")
        .agg(first=pl.col("object").min())
    )
    joined = suspects.join(first, on="image_id", how="left", maintain_order="left")
    return joined.with_columns(place=pl.col("object") - pl.col("first"))


def _doubted(record: ImageRecord, classes: Sequence[str], suspects: pl.DataFrame, folder: Path) -> ImageRecord:
    is_missing = suspects["kind"].to_numpy() == "missing"
    labels = suspects.filter(~is_missing)
    places = np.array(label_places(record, classes, labels, folder), dtype=int)
    is_dropped = labels["is_dropped"].to_numpy()
    is_crowd = record.is_crowd.copy()
    is_crowd[places[is_dropped]] = True
    record = replace(record, is_crowd=is_crowd)
    if not suspects["is_dropped"].all():
        weights = np.ones(len(record.labels), dtype=np.float32) if record.weights is None else record.weights.copy()
        weights[places[~is_dropped]] *= 1 - labels["probability"].to_numpy()[~is_dropped]
        record = replace(record, weights=weights)
    regions = suspects.filter(is_missing).select(f"suggested_{side}" for side in SIDES).to_numpy()
    regions = regions.clip(0, [record.width, record.height] * 2)
    return with_crowds(record, regions[(regions[:, 2:] > regions[:, :2]).all(axis=1)])


def label_places(
    record: ImageRecord,
    classes: Sequence[str],
    suspects: pl.DataFrame,
    folder: Path | str,
    table: str = "suspects.parquet",
) -> list[int]:
    """Which object of the record each label of a table is: at its place, or else the only one with its class and box.

    Raises: DataError: there is none, or several.
    """
    found: list[int] = []
    for suspect in suspects.iter_rows(named=True):
        box, category = [suspect[side] for side in SIDES], suspect["category"]
        same = (np.abs(record.boxes - box) < SAME_PX).all(axis=1)
        same &= ~record.is_crowd & np.array([category in (None, classes[label]) for label in record.labels], dtype=bool)
        candidates = [place for place in np.flatnonzero(same).tolist() if place not in found]
        if suspect["place"] not in candidates and len(candidates) != 1:
            of_class = "" if category is None else f" of class {category!r}"
            raise DataError(
                f"{Path(folder) / table}: image id {record.image_id} has {len(candidates) or 'no'} "
                f"label{of_class} with the box {box}, expected the one that was mined; mine again"
            )
        found.append(suspect["place"] if suspect["place"] in candidates else candidates[0])
    return found


def read_columns(file: Path, columns: Mapping[str, Any], if_there: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """The columns of a table; those that may be absent are then null. Raises: DataError: it cannot be read."""
    if file.exists():
        check_regular(file)
    try:
        table = pl.read_parquet(file)
        absent = [pl.lit(None).alias(name) for name in if_there or {} if name not in table.columns]
        wanted = {**columns, **(if_there or {})}
        return table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in wanted.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file}: cannot be read ({reason}); give the folder that `hardmine mine` wrote") from error
