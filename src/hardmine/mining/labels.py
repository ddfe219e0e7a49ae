"""The labels of a data set as tables: what is mined is computed from these, a part of the images at a time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hardmine.boxes import SIDES
from hardmine.data import DetectionDataset
from hardmine.mining.pairs import Detections, Numbers, Objects

__all__ = ["Labels", "detections_in", "labels_of", "objects_in"]


@dataclass(frozen=True, slots=True)
class Labels:
    """images: image_id, file_name (in `folder`), width, height.

    objects: object (number in the data set), image_id, category_id, category, x1, y1, x2, y2 in pixels, is_crowd.
    categories: the name of each category id.  folder: the innermost that holds all images; None: they are generated.
    """

    images: pl.DataFrame
    objects: pl.DataFrame
    categories: Mapping[int, str]
    folder: Path | None = None

    def image_sizes(self) -> Numbers:
        """Width and height of each object's image, (G, 2)."""
        sizes = self.objects.select("image_id").join(self.images, on="image_id", how="left", maintain_order="left")
        return sizes.select("width", "height").to_numpy().astype(float)


def labels_of(dataset: DetectionDataset) -> Labels:
    """The labels of a data set; objects are numbered as they lie in its records."""
    records = dataset.records
    counts = [len(record.labels) for record in records]
    ids = np.array([record.image_id for record in records], dtype=np.int64)
    label = np.concatenate([record.labels for record in records])
    boxes = np.concatenate([record.boxes for record in records]).astype(float)
    folder = _folder(dataset)
    images = {
        "image_id": ids,
        "file_name": [r.file.resolve().relative_to(folder).as_posix() if r.file and folder else "" for r in records],
        "width": [record.width for record in records],
        "height": [record.height for record in records],
    }
    objects = {
        "object": np.arange(len(label)),
        "image_id": np.repeat(ids, counts),
        "category_id": np.asarray(dataset.category_ids)[label],
        "category": np.asarray(dataset.classes)[label],
        **dict(zip(SIDES, boxes.T, strict=True)),
        "is_crowd": np.concatenate([record.is_crowd for record in records]),
    }
    categories = dict(zip(dataset.category_ids, dataset.classes, strict=True))
    return Labels(pl.DataFrame(images), pl.DataFrame(objects), categories, folder)


def objects_in(table: pl.DataFrame) -> Objects:
    """The arrays of a table of objects."""
    image, category, is_crowd = (table[name].to_numpy() for name in ("image_id", "category_id", "is_crowd"))
    return Objects(image, category, table.select(SIDES).to_numpy(), is_crowd)


def detections_in(table: pl.DataFrame) -> Detections:
    """The arrays of a table of predictions."""
    image, category, scores = (table[name].to_numpy() for name in ("image_id", "category_id", "score"))
    return Detections(image, category, table.select(SIDES).to_numpy(), scores)


def _folder(dataset: DetectionDataset) -> Path | None:
    folders = {record.file.resolve().parent for record in dataset.records if record.file is not None}
    return Path(os.path.commonpath(folders)) if folders else None
