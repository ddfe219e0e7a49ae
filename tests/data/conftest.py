"""Small data sets of each format, written by the tests that need them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_image() -> Callable[..., Path]:
    def write(file: Path, size: tuple[int, int] = (64, 48), orientation: int = 1) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(file, exif=exif)
        return file

    return write


@pytest.fixture
def write_coco(write_image) -> Callable[..., Path]:
    """Writes a json and its images; `changes` replaces its lists. By default one image of 64x48 and one cat."""

    def write(file: Path, **changes) -> Path:
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0}],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            **changes,
        }
        write_image(file.parent / "a.png")
        file.write_text(json.dumps(document))
        return file

    return write


@pytest.fixture
def write_voc(write_image) -> Callable[..., Path]:
    """Writes one image and its xml into a VOC tree; `objects` are (name, corners, difficult)."""

    def write(tree: Path, name: str = "a", objects=(("cat", (10, 10, 30, 30), 0),), size=(64, 48)) -> Path:
        write_image(tree / "JPEGImages" / f"{name}.jpg")
        items = "".join(
            f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for label, (x1, y1, x2, y2), difficult in objects
        )
        file = tree / "Annotations" / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"<annotation><filename>{name}.jpg</filename>"
            f"<size><width>{size[0]}</width><height>{size[1]}</height></size>{items}</annotation>"
        )
        return file

    return write


@pytest.fixture
def write_yolo(write_image) -> Callable[..., Path]:
    """Writes data.yaml and one image with its label file into images/train, labels/train."""

    def write(root: Path, lines: str = "0 0.5 0.5 0.25 0.25", yaml: str = "names: [cat, dog]\ntrain: images/train\n"):
        write_image(root / "images" / "train" / "a.png")
        (root / "labels" / "train").mkdir(parents=True, exist_ok=True)
        (root / "labels" / "train" / "a.txt").write_text(lines)
        (root / "data.yaml").write_text(yaml)
        return root

    return write


@pytest.fixture
def write_tree(write_image) -> Callable[..., Path]:
    """Writes files by their path below a root: texts, and images of 64x48 where the name is that of one."""

    def write(root: Path, *images: str, **texts: str) -> Path:
        for image in images:
            write_image(root / image)
        for name, text in texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return write
