"""Small data sets with masks, written by the tests that need them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_mask() -> Callable[..., Path]:
    """Writes values (H, W), or colours (H, W, 3), as the mask that they are; `mode` L, P, I;16 or what they need."""

    def write(file: Path, values: np.ndarray, mode: str | None = None, palette: list[int] | None = None) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        if mode == "I;16":
            image = Image.fromarray(values.astype(np.uint16))
        elif mode == "1":
            image = Image.fromarray(values.astype(bool))
        else:
            image = Image.fromarray(values.astype(np.uint8))
        if mode == "P":
            image.putpalette(palette or [value for index in range(256) for value in (index, 255 - index, index // 2)])
        image.save(file)
        return file

    return write


@pytest.fixture
def write_pair(write_image, write_mask) -> Callable[..., np.ndarray]:
    """Writes an image and its mask, by default of 64x48 with the values 0, 1 and 255, and returns the values."""

    def write(image: Path, mask: Path, values: np.ndarray | None = None, **options) -> np.ndarray:
        values = halves() if values is None else values
        write_image(image, (values.shape[1], values.shape[0]))
        write_mask(mask, values, **options)
        return values

    return write


@pytest.fixture
def write_folders(write_pair) -> Callable[..., Path]:
    """Writes images/NAME.png and masks/NAME.png for each name, and classes.txt."""

    def write(root: Path, *names: str, classes: str = "road\nsky\n", images: str = "images", masks: str = "masks"):
        for name in names:
            write_pair(root / images / f"{name}.png", root / masks / f"{name}.png")
        (root / "classes.txt").write_text(classes)
        return root

    return write


def halves(width: int = 64, height: int = 48) -> np.ndarray:
    """0 on the left, 1 on the right, and a corner that is ignored."""
    values = np.zeros((height, width), np.uint8)
    values[:, width // 2 :] = 1
    values[:5, :5] = 255
    return values
