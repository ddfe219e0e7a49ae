"""What pages are made of: a comparison as `compare` writes it, a run, a mined folder with pictures, a diagnosis.

Names are as hostile as names may be.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardmine.comparison import Comparison, ComparisonRow, Measured, Protocol
from hardmine.data import open_dataset
from hardmine.evaluation import LOWER_IS_BETTER, Difference
from hardmine.files.writing import write_json
from hardmine.mining import mine, write_mined
from hardmine.training import TrainingConfig

HOSTILE = "</script><img src=x onerror=document.title='owned'>"
HIDDEN = "a\u2028b\u202ec\x01"
CLASSES = ("cell", HOSTILE, HIDDEN)
MEASURES = ("ap", "ap50", "ap75", "ap_small", "error_class", "error_background", "ece", "lrp", f"ap of {HOSTILE}")


def difference(value: float, num_seeds: int = 3) -> Difference:
    return Difference(
        value=value,
        low=value - 0.01,
        high=value + 0.01,
        simultaneous_low=value - 0.0123456,
        simultaneous_high=value + 0.0123456,
        standard_error=0.004,
        degrees_of_freedom=5.5,
        run_variance=1e-5 if num_seeds > 1 else None,
        image_variance=2e-5,
        num_seeds=num_seeds,
        num_units=80,
    )


def measured(name: str, value: float, of: Difference | None) -> Measured:
    return Measured(value, (value,), of, name in LOWER_IS_BETTER)


def row(recipe: str, place: int, num_seeds: int) -> ComparisonRow:
    of = {
        name: measured(
            name, 0.31 + 0.0123 * place + 0.01 * i, difference(0.0204 * place - 0.02, num_seeds) if place else None
        )
        for i, name in enumerate(MEASURES)
    }
    return ComparisonRow(recipe, of, tuple(range(num_seeds)), 4, 1 + 0.1234 * place, 900.5 + place)


def comparison(num_seeds: int = 3, recipes: tuple[str, ...] = ("random", "ohem", "hnm", HOSTILE)) -> Comparison:
    rows = tuple(row(recipe, place, num_seeds) for place, recipe in enumerate(recipes))
    environment = {"hardmine": "0.1.0", "torch": "2.11.0", "device": "cpu", "python": HOSTILE}
    config = TrainingConfig(data=f"data/{HOSTILE}", epochs=4)
    return Comparison(rows, 80, "resident in the process", config, Protocol(margin=0.005), environment=environment)


def lines(seed: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "step": epoch,
            "lr": 0.1,
            "loss": 2 / epoch + seed,
            "loss_classifier": 1 / epoch,
            "per_class": {},
        }
        | ({"ap": 0.1 * epoch} if epoch == 3 else {})
        for epoch in (1, 2, 3)
    ]


@pytest.fixture
def compared(tmp_path) -> Callable[..., Path]:
    """A folder as `compare` leaves it, with the epochs of each run."""

    def make(num_seeds: int = 3, **given: Any) -> Path:
        folder = tmp_path / "compared"
        of = comparison(num_seeds, **given)
        folder.mkdir()
        write_json(folder / "compare.json", of.to_dict())
        for recipe in ("random", "ohem"):
            for seed in of.rows[0].seeds:
                make_run(folder / recipe / f"seed{seed}", seed)
        return folder

    return make


def make_run(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(TrainingConfig(data="no such data", seed=seed).to_json())
    write_json(folder / "env.json", {"hardmine": "0.1.0", "torch": "2.11.0", "device": "cpu"})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(seed)))
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path / "run")


def make_data(folder: Path, num_images: int = 4) -> Path:
    """COCO data of noise, 64 by 48 pixels, with an object of each class on each image."""
    rng = np.random.default_rng(0)
    names = [f"<b onclick=alert(1)>&amp;{number}.png" for number in range(num_images)]
    (folder / "images").mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / "images" / name)
    images = [
        {"id": 2**60 + number, "file_name": f"images/{name}", "width": 64, "height": 48}
        for number, name in enumerate(names)
    ]
    boxes = [[4, 4, 12, 10], [24, 20, 16, 16], [44, 30, 14, 12]]
    annotations = [
        {"image_id": image["id"], "category_id": label + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for image in images
        for label, box in enumerate(boxes)
    ]
    content = {
        "images": images,
        "annotations": [{"id": number, **of} for number, of in enumerate(annotations, 1)],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)],
    }
    (folder / "train.json").write_text(json.dumps(content))
    return folder / "train.json"


def found_on(image_id: int) -> list[dict[str, Any]]:
    """Of each kind of mistake: found surely, of another class, badly located, on nothing."""
    rows = [
        (1, [4, 4, 12, 10], 0.95),
        (1, [24, 20, 16, 16], 0.875),  # of another class
        (3, [47, 30, 14, 17], 0.75),  # a little off
        (1, [24, 2, 12, 12], 0.8125),  # on nothing
    ]
    return [{"image_id": image_id, "category_id": label, "bbox": box, "score": score} for label, box, score in rows]


def make_mined(folder: Path, num_images: int = 4) -> Path:
    dataset = open_dataset(make_data(folder / "data", num_images))
    results = [of for record in dataset.records for of in found_on(record.image_id)]
    write_mined(folder / "mined", mine(dataset, results), "results.json")
    return folder / "mined"


@pytest.fixture
def mined(tmp_path) -> Path:
    return make_mined(tmp_path)


def diagnosis() -> dict[str, Any]:
    """The smallest that has all: two recipes, one head, two tables, one of them with more bins than are drawn."""

    def bins(names: list[str], first: float) -> list[dict[str, Any]]:
        rest = (1 - first) / (len(names) - 1)
        shares = [first, *[rest] * (len(names) - 1)]
        return [
            {
                "bin": name,
                "count": 10 + place,
                "samples": share,
                "loss": shares[-1 - place],
                "weight": share,
                "gradient": None,
            }
            for place, (name, share) in enumerate(zip(names, shares, strict=True))
        ]

    def head(first: float) -> dict[str, Any]:
        tables = {
            "kind": bins(["positive", "hard negative", HOSTILE], first),
            "image": bins([f"image {number}" for number in range(40)], first / 2),
        }
        return {"tables": tables, "totals": {"samples": 1234, "loss": 1.25}}

    return {
        "detector": "retinanet",
        "run": "runs/focal",
        "data": "bccd",
        "split": "train",
        "num_images": 12,
        "recipes": {
            name: {"heads": {"classification": head(first)}} for name, first in (("random", 0.5), ("focal", 0.7))
        },
        "held_back": {"precision": 0.625},
        "sentences": [{"text": f"Most of the loss is of {HOSTILE}.", "numbers": {"loss": 0.9375}}],
    }


@pytest.fixture
def diagnosed(tmp_path) -> Path:
    folder = tmp_path / "diagnosed"
    folder.mkdir()
    write_json(folder / "diagnosis.json", diagnosis())
    return folder
