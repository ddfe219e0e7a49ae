"""A data set of two images without files, and results on it that are of every kind."""

import numpy as np
import pytest

from hardmine.data import DetectionDataset, ImageRecord


def record(image_id: int, objects: list[tuple[int, list[float], bool]]) -> ImageRecord:
    return ImageRecord(
        image_id=image_id,
        file=None,
        width=100,
        height=100,
        boxes=np.array([box for _, box, _ in objects], dtype=np.float32).reshape(-1, 4),
        labels=np.array([label for label, _, _ in objects], dtype=np.int64),
        is_crowd=np.array([crowd for _, _, crowd in objects], dtype=bool),
    )


@pytest.fixture
def two_images() -> DetectionDataset:
    """Image 7: a cat, a dog, a crowd of cats.  Image 9: a cat.  Image 11: nothing.  Category ids 5 and 80."""
    first = record(7, [(0, [0, 0, 10, 10], False), (1, [20, 0, 30, 10], False), (0, [0, 50, 90, 90], True)])
    images = [first, record(9, [(0, [0, 0, 10, 10], False)]), record(11, [])]
    return DetectionDataset("pets", "val", ("cat", "dog"), (5, 80), images)


@pytest.fixture
def results() -> list[dict]:
    rows = [
        (7, 5, [0, 0, 10, 10], 0.9),  # takes the cat
        (7, 80, [20, 0, 10, 10], 0.25),  # takes the dog, unsure
        (7, 5, [20, 0, 10, 10], 0.75),  # takes the dog for a cat
        (7, 5, [10, 55, 30, 25], 0.95),  # in the crowd
        (7, 80, [60, 0, 10, 10], 0.125),  # nothing there
        (11, 5, [60, 0, 10, 10], 0.5),  # nothing there, on the image without objects
    ]
    return [dict(zip(("image_id", "category_id", "bbox", "score"), row, strict=True)) for row in rows]
