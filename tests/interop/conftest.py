"""A mined folder of pictures whose names are awkward, for the packages that people read it with."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from PIL import Image

from hardmine.core.boxes import SIDES
from hardmine.data import DetectionDataset, ImageRecord
from hardmine.mining import MinedTables, mine, write_mined

NAMES = ("a.png", "c+d.png", "e#f.png", "g&h.png", "i%20j.png", "k l.png", "sub/ü.png", "=1.png", "q?r.png", "x;y.png")
CLASSES = ("cat & <dog>", 'say "hé"')
WIDTH, HEIGHT = 40, 30


Boxes = dict[str, list[tuple[str, float, float, float, float]]]
"""Class and x1, y1, x2, y2 of the boxes on each image, by its file name."""


class Mined(NamedTuple):
    images: Path
    tables: MinedTables
    out: Path

    def boxes(self, *tables: pl.DataFrame) -> Boxes:
        """What is on each image, of tables with a category and corners."""
        found: Boxes = {}
        for table in tables:
            named = table.join(self.tables.images, on="image_id", maintain_order="left")
            for name, *box in named.select("file_name", "category", *SIDES).iter_rows():
                found.setdefault(name, []).append(tuple(box))
        return found

    @staticmethod
    def in_order(boxes: Boxes) -> Boxes:
        """The same in one order, to a hundredth of a pixel."""
        return {
            name: sorted((label, *(round(float(side), 2) for side in box)) for label, *box in of_image)
            for name, of_image in boxes.items()
        }

    def suspects(self) -> Boxes:
        proposed = [pl.coalesce(name, f"suggested_{name}") for name in ("category", *SIDES)]
        return self.boxes(self.tables.suspects.with_columns(proposed))

    def to_correct(self) -> Boxes:
        """What label tools get: all labels of the images with a suspect, and the missing ones."""
        missing = self.tables.suspects.filter(kind="missing")
        proposed = {f"suggested_{name}": name for name in ("category", *SIDES)}
        return self.boxes(self.tables.objects, missing.drop(proposed.values()).rename(proposed))


def _record(number: int, file: Path) -> ImageRecord:
    boxes = np.array([[number, 2, number + 8.5, 12], [20, 10, 35, 28.25]], dtype=np.float32)
    return ImageRecord(number, file, WIDTH, HEIGHT, boxes, np.array([0, 1]), np.zeros(2, dtype=bool))


@pytest.fixture
def mined(tmp_path) -> Mined:
    """Each image has two objects. Nothing finds them, and there is a prediction elsewhere."""
    images = tmp_path / "my images+1"
    (images / "sub").mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", (WIDTH, HEIGHT), "red").save(images / name)
    records = [_record(number, images / name) for number, name in enumerate(NAMES, start=1)]
    dataset = DetectionDataset("pets", "val", CLASSES, (5, 80), records)
    results = [
        {"image_id": record.image_id, "category_id": 5, "bbox": [28.5, 0, 11, 8], "score": 0.9} for record in records
    ]
    tables = mine(dataset, results)
    write_mined(tmp_path / "mined", tables, "results.json")
    return Mined(images, tables, tmp_path / "mined")
