"""What a training makes of a mined folder and of rare classes: augmentation, and how often each image is drawn.

Places are cut from the images of the data set that is trained on, never from files that the folder names; images and
objects are found again as in `mined`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import nn
from torch.utils.data import Dataset

from hardmine.augmentation import (
    BACKGROUND,
    HardPlaces,
    augmentation,
    object_masks,
    parse_chances,
    parse_repeat_rule,
    repeat_factors,
)
from hardmine.core.boxes import SIDES
from hardmine.data import DetectionDataset, ImageRecord
from hardmine.errors import DataError
from hardmine.training.config import TrainingConfig
from hardmine.training.mined import SAME_PX, image_weights, mined_images, read_columns

__all__ = ["augmentation_of", "hard_places", "weights_of_images"]

logger = logging.getLogger("hardmine")

DOUBTED = 0.5
"""Labels that are at fault with this probability, and backgrounds that are objects with it, are not copied."""
ROW = {"image_id": pl.Int64, "kind": pl.String, "hardness": pl.Float64, **dict.fromkeys(SIDES, pl.Float64)}
FAULTS = ("spurious", "wrong_class", "badly_located")
OBJECT = {"object": pl.Int64, "category": pl.String, **dict.fromkeys(FAULTS, pl.Float64)}
PREDICTION = {"error": pl.String, "missing": pl.Float64}


def augmentation_of(config: TrainingConfig, images: Dataset[Any], dataset: DetectionDataset) -> nn.Module | None:
    """The augmentation that a configuration asks for, of images that are those of the data set; None: it asks for none.

    Raises: DataError: as `hard_places`.  ConfigError: no hard object to paste.
    """
    if config.augment_from is None:
        return None
    chances, places = parse_chances(config.augment), hard_places(config.augment_from, dataset)
    if chances["distractors"] and not len(places.of_backgrounds):
        logger.warning("%s: no background is taken for an object, so there are no distractors", config.augment_from)
    return augmentation(images, places, chances, object_masks(dataset, config.data, config.images), config.flips)


def weights_of_images(config: TrainingConfig, dataset: DetectionDataset) -> np.ndarray | None:
    """(I,) how often each image is drawn, by the mined folder times by its classes; None: all alike.

    Raises: DataError: as `image_weights`.
    """
    of_hardness = None if config.mined is None else image_weights(config.mined, dataset)
    if config.repeat_factors is None:
        return of_hardness
    of_classes = repeat_factors(dataset, parse_repeat_rule(config.repeat_factors))
    return of_classes if of_hardness is None else of_hardness * of_classes


def hard_places(folder: Path | str, dataset: DetectionDataset) -> HardPlaces:
    """The hard objects and hard backgrounds of a data set in a folder of `hardmine mine`.

    Left out are: objects whose label is at fault with a probability of .5, or counts no more since they were dropped as
    suspects; backgrounds that are unlabelled objects with that probability, and predictions that any object touches;
    what lies on images that are no longer in the data set.

    Raises: DataError: the tables cannot be read, are of other images or labels, or list nothing that is hard.
    """
    folder = Path(folder)
    rows = mined_images(folder / "images.parquet", dataset)
    number = {row["image_id"]: place for place, row in enumerate(rows) if row is not None}
    objects = _objects(folder / "objects.parquet", dataset, number)
    found = [*objects, *_backgrounds(folder / "predictions.parquet", dataset, number)]
    if not found:
        raise DataError(
            f"{folder}: no hard object and no hard background whose labels are trusted, so there is nothing to augment "
            "from; mine what a trained model finds, out of folds (--folds 3)"
        )
    image, boxes, labels, which, hardness = zip(*found, strict=True)
    return HardPlaces(
        np.array(image, dtype=np.int64),
        np.array(boxes, dtype=np.float32),
        np.array(labels, dtype=np.int64),
        np.array(which, dtype=np.int64),
        np.array(hardness, dtype=np.float64),
    )


Place = tuple[int, Sequence[float], int, int, float]


def _objects(file: Path, dataset: DetectionDataset, number: dict[int, int]) -> list[Place]:
    table = read_columns(file, ROW, OBJECT)
    first = table.group_by("image_id").agg(first=pl.col("object").min())
    table = table.join(first, on="image_id", how="left", maintain_order="left")
    is_right = pl.all_horizontal(pl.col(fault).fill_null(0) < DOUBTED for fault in FAULTS)
    hard = _hard(table, "hard positive", number).filter(is_right)
    found = []
    for row in hard.iter_rows(named=True):
        image = number[row["image_id"]]
        which = _which_object(file, dataset.records[image], dataset.classes, row)
        record = dataset.records[image]
        if not record.is_crowd[which]:
            box = record.boxes[which].tolist()
            found.append((image, box, int(record.labels[which]), which, row["hardness"]))
    return found


def _which_object(file: Path, record: ImageRecord, classes: Sequence[str], row: dict[str, Any]) -> int:
    """The object of the record at the place of the row, or else the first, with its class and box."""
    same = (np.abs(record.boxes - [row[side] for side in SIDES]) < SAME_PX).all(axis=1)
    same &= np.array([row["category"] in (None, classes[label]) for label in record.labels], dtype=bool)
    candidates = np.flatnonzero(same).tolist()
    if not candidates:
        box = [round(row[side], 2) for side in SIDES]
        raise DataError(
            f"{file}: image id {record.image_id} has no label of class {row['category']!r} with the box {box}, "
            "expected the one that was mined; mine again"
        )
    place = -1 if row["object"] is None else row["object"] - row["first"]
    return place if place in candidates else candidates[0]


def _backgrounds(file: Path, dataset: DetectionDataset, number: dict[int, int]) -> list[Place]:
    table = _hard(read_columns(file, ROW, PREDICTION), "hard negative", number)
    likely = pl.col("error").is_in(["background", None], nulls_equal=True) & (pl.col("missing").fill_null(0) < DOUBTED)
    found = []
    for row in table.filter(likely).iter_rows(named=True):
        record = dataset.records[number[row["image_id"]]]
        box = np.clip([row[side] for side in SIDES], 0, [record.width, record.height] * 2)
        if (box[2:] - box[:2] >= 1).all() and not _touches(box, np.concatenate([record.boxes, record.regions])):
            found.append((number[row["image_id"]], box.tolist(), BACKGROUND, BACKGROUND, row["hardness"]))
    return found


def _touches(box: np.ndarray, others: np.ndarray) -> bool:
    return bool(((others[:, :2] < box[2:]) & (others[:, 2:] > box[:2])).all(axis=1).any())


def _hard(table: pl.DataFrame, kind: str, number: dict[int, int]) -> pl.DataFrame:
    """The rows of a kind on images that are there, with a box and a hardness that can be used."""
    are_numbers = pl.all_horizontal(pl.col(name).is_finite() for name in ("hardness", *SIDES)) & (
        pl.col("hardness") > 0
    )
    return table.filter((pl.col("kind") == kind) & pl.col("image_id").is_in(list(number)) & are_numbers)
