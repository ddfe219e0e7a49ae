"""Boxes to look for objects in, from a file: predictions whose class is not asked for."""

from pathlib import Path

import numpy as np

from hardmine.data import DetectionDataset
from hardmine.predictions.found import to_corners
from hardmine.predictions.reading import read_found

__all__ = ["proposals_in"]


def proposals_in(path: Path, dataset: DetectionDataset) -> list[np.ndarray]:
    """Of each image of the data set (P, 4) float32, xyxy in pixels, those of the highest score first.

    The file may have other images, too, so that one will do for all splits; boxes of these are left out.
    Raises: DataError: it cannot be read.
    """
    found = read_found(path, classes=False)
    named = found.rows.select("image_id", "file_name")
    unique = named.unique(maintain_order=True).with_row_index("name")
    places = np.array(
        [
            -1 if place is None else place
            for place in dataset.image_names.find_known(list(unique.select("image_id", "file_name").iter_rows()))
        ],
        dtype=np.int64,
    )
    of_name = named.join(unique, on=["image_id", "file_name"], how="left", nulls_equal=True, maintain_order="left")[
        "name"
    ]
    image = places[of_name.to_numpy()]
    order = np.lexsort((-found.rows["score"].to_numpy(), image))
    order = order[image[order] >= 0]
    sizes = np.array([(record.width, record.height) for record in dataset.records], dtype=float)
    boxes = to_corners(found.boxes()[order], found.box_format, sizes[image[order]]).astype(np.float32)
    return np.split(boxes, np.searchsorted(image[order], np.arange(1, len(dataset))))
