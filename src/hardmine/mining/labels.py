"""The labels of a data set as tables: what is mined is computed from these, a part of the images at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset, ImageRecord
from hardmine.errors import DataError
from hardmine.mining.pairs import ANY_CATEGORY, Detections, Numbers, Objects
from hardmine.tables.columns import SIDES

__all__ = ["Labels", "detections_in", "labels_of", "objects_in"]


@dataclass(frozen=True, slots=True)
class Labels:
    """images: image_id, file_name (in `folder`), width, height; those in which every object could be read or placed.

    objects: object (number in the data set), image_id, category_id, category, x1, y1, x2, y2 in pixels, is_crowd,
        is_duplicate: the same class and box as one before. A place where something could not be read is a crowd without
        a class.
    categories: the name of each category id.  folder: the innermost that holds all images; None: they are generated.
    origin: name of the data set, and of its split; empty where they are not known.
    """

    images: pl.DataFrame
    objects: pl.DataFrame
    categories: Mapping[int, str]
    folder: Path | None = None
    origin: tuple[str, str] = ("", "")

    def sizes_of(self, table: pl.DataFrame) -> Numbers:
        """Width and height of the image of each object or prediction, (n, 2)."""
        sizes = table.select("image_id").join(self.images, on="image_id", how="left", maintain_order="left")
        return sizes.select("width", "height").to_numpy().astype(float)


def labels_of(dataset: DetectionDataset) -> Labels:
    """The labels of a data set, image by image: objects as they lie in its records, then duplicates, then crowds.

    Raises: DataError: in no image every object could be read or placed.
    """
    named = zip(dataset.records, dataset.file_names, strict=True)
    complete = [(record, name) for record, name in named if record.is_complete]
    if not complete:
        raise DataError(f"{dataset.name}, split {dataset.split!r}: no image in which every object could be read")
    images = {
        "image_id": np.array([record.image_id for record, _ in complete], dtype=np.int64),
        "file_name": [name for _, name in complete],
        "width": [record.width for record, _ in complete],
        "height": [record.height for record, _ in complete],
    }
    columns = [_columns(record) for record, _ in complete]
    boxes, label, is_crowd, is_duplicate = (np.concatenate(column) for column in zip(*columns, strict=True))
    of_class = np.maximum(label, 0)
    objects = {
        "object": np.arange(len(label)),
        "image_id": np.repeat(images["image_id"], [len(of_image[1]) for of_image in columns]),
        "category_id": pl.Series(np.asarray(dataset.category_ids)[of_class]).set(pl.Series(label < 0), None),
        "category": pl.Series(np.asarray(dataset.classes)[of_class]).set(pl.Series(label < 0), None),
        **dict(zip(SIDES, boxes.T, strict=True)),
        "is_crowd": is_crowd,
        "is_duplicate": is_duplicate,
    }
    categories = dict(zip(dataset.category_ids, dataset.classes, strict=True))
    origin = (dataset.name, dataset.split)
    return Labels(pl.DataFrame(images), pl.DataFrame(objects), categories, dataset.folder, origin)


def _columns(record: ImageRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (n, 4), labels (-1: of anything), whether each is a crowd, and whether it is a duplicate."""
    again = np.zeros(0, dtype=np.int64) if record.duplicate_of is None else record.duplicate_of
    num_again, num_regions = len(again), len(record.regions)
    return (
        np.concatenate([record.boxes, record.boxes[again], record.regions]).astype(float),
        np.concatenate([record.labels, record.labels[again], np.full(num_regions, -1)]),
        np.concatenate([record.is_crowd, record.is_crowd[again], np.ones(num_regions, dtype=bool)]),
        np.repeat([False, True, False], [len(record.labels), num_again, num_regions]),
    )


def objects_in(table: pl.DataFrame) -> Objects:
    """The arrays of a table of objects."""
    category = table["category_id"].fill_null(ANY_CATEGORY).to_numpy()
    image, is_crowd = (table[name].to_numpy() for name in ("image_id", "is_crowd"))
    return Objects(image, category, table.select(SIDES).to_numpy(), is_crowd)


def detections_in(table: pl.DataFrame) -> Detections:
    """The arrays of a table of predictions."""
    image, category, scores = (table[name].to_numpy() for name in ("image_id", "category_id", "score"))
    return Detections(image, category, table.select(SIDES).to_numpy(), scores)
