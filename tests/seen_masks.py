"""A small data set with masks, written to disk, and configurations that train on it within a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardmine.training import TrainingConfig

__all__ = ["CLASSES", "masked", "masked_data", "write_masked"]

CLASSES = ("ground", "square", "dot")
SIZES = ((64, 64), (48, 72), (40, 40), (80, 56))
"""Width and height of the images, in turn."""


def write_masked(folder: Path, split: str, num_images: int, seed: int, *, dots: bool) -> None:
    """A square and, where they are wanted, a dot an image, of their own colours; 255 where nobody can tell."""
    rng = np.random.default_rng(seed)
    for number in range(num_images):
        width, height = SIZES[number % len(SIZES)]
        picture = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        for label, side in ((1, 18), *(((2, 8),) if dots else ())):
            y, x = rng.integers(2, (height - side - 2, width - side - 2)).tolist()
            mask[y - 2 : y + side + 2, x - 2 : x + side + 2] = 255
            mask[y : y + side, x : x + side] = label
            picture[y : y + side, x : x + side, label] += 160
        for kind, values in (("images", picture), ("masks", mask)):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / kind / split / f"{split}_{number}.png")


@pytest.fixture(scope="session")
def masked_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 images to learn from, 5 to measure on, of which none has a dot, and 4 to test on; of four sizes."""
    folder = tmp_path_factory.mktemp("masked")
    for split, num, dots in (("train", 8, True), ("val", 5, False), ("test", 4, True)):
        write_masked(folder, split, num, len(split), dots=dots)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


@pytest.fixture(scope="session")
def masked(masked_data: Path) -> Callable[..., TrainingConfig]:
    """Makes a configuration of two epochs of two steps, with any option changed."""

    def make(**options: Any) -> TrainingConfig:
        plain = {"task": "segmentation", "data": str(masked_data), "image_size": 48, "epochs": 2}
        return TrainingConfig.from_dict(plain | {"batch_size": 4, "workers": 0, "recipe": "ce"} | options)

    return make
