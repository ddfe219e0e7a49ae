"""Images on which the pixels say which object they belong to."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hardmine.augmentation import BACKGROUND, HardPlaces

Box = Sequence[float]
Painted = list[tuple[Tensor, dict[str, Any]]]


def painted(size: tuple[int, int], boxes: Sequence[Box], labels: Sequence[int] | None = None) -> tuple[Tensor, dict]:
    """An image (H, W) of 0, and object n, on whole pixels, in the colour of its label: 100 + 10 times that."""
    labels = list(range(len(boxes))) if labels is None else list(labels)
    image = torch.zeros(3, *size, dtype=torch.uint8)
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        image[:, int(y1) : int(y2), int(x1) : int(x2)] = colour(label)
    target = {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), "labels": torch.tensor(labels).long()}
    return image, target | {"iscrowd": torch.zeros(len(boxes), dtype=torch.bool), "image_id": 7}


def colour(label: int) -> int:
    return 100 + 10 * label


def places_of(images: Painted) -> HardPlaces:
    """All objects of the images, all alike hard."""
    found = [
        (image, box, label, place)
        for image, (_, target) in enumerate(images)
        for place, (box, label) in enumerate(zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True))
    ]
    return made(*zip(*found, strict=True))


def backgrounds(*placed: tuple[int, Box]) -> HardPlaces:
    image, boxes = zip(*placed, strict=True)
    return made(image, boxes, [BACKGROUND] * len(image), [BACKGROUND] * len(image))


def made(image: Any, boxes: Any, labels: Any, objects: Any) -> HardPlaces:
    as_array: Callable[..., np.ndarray] = np.array
    whole = (as_array(values, dtype=np.int64) for values in (image, labels, objects))
    image, labels, objects = whole
    return HardPlaces(image, as_array(boxes, dtype=np.float32), labels, objects, np.ones(len(image)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
