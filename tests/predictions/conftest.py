"""A data set of four images of 64x32 pixels in folders, and predictions on it in every form."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

from hardmine.data import DetectionDataset, ImageRecord

CLASSES = ("cat", "dog", "eel")
SIZE = (64, 32)


def make_record(number: int, file: str, objects=(), **changes: Any) -> ImageRecord:
    """objects: (label, x1, y1, x2, y2)."""
    rows = np.array(objects, dtype=np.float32).reshape(-1, 5)
    return ImageRecord(
        **{
            "image_id": number,
            "file": Path("/data/images") / file,
            "width": SIZE[0],
            "height": SIZE[1],
            "boxes": rows[:, 1:],
            "labels": rows[:, 0].astype(np.int64),
            "is_crowd": np.zeros(len(rows), dtype=bool),
            **changes,
        }
    )


def make_dataset(records: list[ImageRecord], category_ids=(0, 1, 2), **changes: Any) -> DetectionDataset:
    return DetectionDataset("pets", "val", CLASSES[: len(category_ids)], category_ids, records, **changes)


@pytest.fixture
def record() -> Callable[..., ImageRecord]:
    return make_record


@pytest.fixture
def folder_of() -> Callable[..., DetectionDataset]:
    return make_dataset


@pytest.fixture
def pets() -> DetectionDataset:
    """Images without ids of their own, as of a folder; the numbers are places in sorted names."""
    files = {"1.jpg": [(0, 0, 0, 8, 8)], "10.jpg": [(1, 8, 8, 24, 16)], "2.jpg": [(2, 32, 0, 48, 16)], "cam/3.jpg": []}
    return make_dataset(
        [make_record(n, file, of, is_numbered=True) for n, (file, of) in enumerate(files.items(), start=1)]
    )


Row = tuple[str, int, tuple[float, float, float, float], float]


@pytest.fixture
def rows() -> list[Row]:
    """File, label, xyxy in pixels, score: all numbers that every form holds exactly."""
    return [
        ("images/1.jpg", 0, (0.0, 0.0, 8.0, 8.0), 0.75),
        ("images/1.jpg", 1, (16.0, 8.0, 32.0, 16.0), 0.5),
        ("images/10.jpg", 1, (8.0, 8.0, 24.0, 16.0), 0.875),
        ("images/2.jpg", 2, (32.0, 0.0, 48.0, 16.0), 1.0),
        ("images/cam/3.jpg", 0, (4.0, 4.0, 12.0, 12.0), 0.25),
    ]


def coco_record(row: Row, **more: Any) -> dict[str, Any]:
    _, label, (x1, y1, x2, y2), score = row
    return {"category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score, **more}


def fractions(row: Row) -> tuple[float, float, float, float]:
    """left, top, width, height."""
    _, _, (x1, y1, x2, y2), _ = row
    return x1 / SIZE[0], y1 / SIZE[1], (x2 - x1) / SIZE[0], (y2 - y1) / SIZE[1]


def _dump(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def _coco(root: Path, rows: list[Row]) -> Path:
    return _dump(root / "results.json", [coco_record(row, file_name=row[0]) for row in rows])


def _packed(root: Path, rows: list[Row]) -> Path:
    path = root / "results.json.gz"
    path.write_bytes(gzip.compress(json.dumps([coco_record(row, file_name=row[0]) for row in rows]).encode()))
    return path


def _lines(root: Path, rows: list[Row]) -> Path:
    path = root / "results.jsonl"
    path.write_text("".join(json.dumps(coco_record(row, file_name=row[0])) + "\n" for row in rows))
    return path


def _ultralytics(root: Path, rows: list[Row]) -> Path:
    """Ids are stems: as a number where it is one."""
    stems = [Path(row[0]).stem for row in rows]
    records = [
        coco_record(row, image_id=int(stem) if stem.isnumeric() else stem, file_name=Path(row[0]).name)
        for row, stem in zip(rows, stems, strict=True)
    ]
    return _dump(root / "predictions.json", records)


def _stems(root: Path, rows: list[Row]) -> Path:
    return _dump(root / "stems.json", [coco_record(row, image_id=Path(row[0]).stem) for row in rows])


def _annotations(root: Path, rows: list[Row]) -> Path:
    """A COCO data set with its own ids of images and classes, and scores."""
    names = sorted({row[0] for row in rows}, reverse=True)
    annotations = [
        coco_record(row, image_id=names.index(row[0]) + 1, category_id=90 + row[1], id=n) for n, row in enumerate(rows)
    ]
    return _dump(
        root / "annotations.json",
        {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(names, start=1)],
            "annotations": annotations,
            "categories": [{"id": 90 + n, "name": name} for n, name in enumerate(CLASSES)],
        },
    )


def _yolo(root: Path, rows: list[Row]) -> Path:
    folder = root / "run"
    for row in rows:
        file = (folder / "labels" / row[0].removeprefix("images/")).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        x, y, width, height = fractions(row)
        with file.open("a") as stream:
            stream.write(f"{row[1]} {x + width / 2} {y + height / 2} {width} {height} {row[3]}\n")
    return folder


def _tracked(root: Path, rows: list[Row]) -> Path:
    folder = _yolo(root / "tracked", rows)
    for file in folder.rglob("*.txt"):
        file.write_text("".join(f"{line} 7\n" for line in file.read_text().splitlines()))
    return folder


def _table(rows: list[Row]) -> pl.DataFrame:
    sides = dict(zip(("x1", "y1", "x2", "y2"), zip(*(row[2] for row in rows), strict=True), strict=True))
    names, labels, _, scores = zip(*rows, strict=True)
    return pl.DataFrame({"file_name": names, "category_id": labels, **sides, "score": scores})


def _parquet(root: Path, rows: list[Row]) -> Path:
    _table(rows).write_parquet(root / "found.parquet")
    return root / "found.parquet"


def _shards(root: Path, rows: list[Row]) -> Path:
    folder = root / "shards"
    folder.mkdir()
    for number, row in enumerate(rows):
        _table([row]).write_parquet(folder / f"{number:03}.parquet")
    (folder / "plan.json").write_text("{}")
    return folder


def _fiftyone(root: Path, rows: list[Row]) -> Path:
    labels: dict[str, list[Any]] = {}
    for row in rows:
        detection = {"label": row[1], "bounding_box": fractions(row), "confidence": row[3]}
        labels.setdefault(row[0].removesuffix(".jpg"), []).append(detection)
    return _dump(root / "labels.json", {"classes": CLASSES, "labels": labels | {"images/none": None}})


def _samples(root: Path, rows: list[Row]) -> Path:
    samples: dict[str, list[Any]] = {}
    for row in rows:
        detection = {"label": CLASSES[row[1]], "bounding_box": fractions(row), "confidence": row[3]}
        samples.setdefault(row[0], []).append(detection)
    truth = {"detections": [{"label": "cat", "bounding_box": [0, 0, 1, 1]}]}
    (root / "export").mkdir()
    _dump(
        root / "export" / "samples.json",
        {
            "samples": [
                {"filepath": f"/home/x/{name}", "ground_truth": truth, "predictions": {"detections": of}}
                for name, of in samples.items()
            ]
        },
    )
    (root / "export" / "metadata.json").write_text("{}")
    return root / "export"


def _label_studio(root: Path, rows: list[Row]) -> Path:
    tasks: dict[str, list[Any]] = {}
    for row in rows:
        x, y, width, height = (100 * side for side in fractions(row))
        value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [CLASSES[row[1]]]}
        region = {"type": "rectanglelabels", "value": value, "score": row[3]}
        tasks.setdefault(row[0], []).append(region)
    return _dump(
        root / "tasks.json",
        [
            {
                "data": {"image": f"/data/local-files/?d={quote(name, safe='')}"},
                "predictions": [{"model_version": "m", "result": of}],
            }
            for name, of in tasks.items()
        ],
    )


FORMS: dict[str, Callable[[Path, list[Row]], Path]] = {
    form.__name__.removeprefix("_"): form
    for form in (
        *(_coco, _packed, _lines, _ultralytics, _stems, _annotations, _yolo, _tracked, _parquet, _shards),
        *(_fiftyone, _samples, _label_studio),
    )
}


@pytest.fixture(params=FORMS)
def form(request) -> Callable[[Path, list[Row]], Path]:
    """Writes rows in a form of its own."""
    return FORMS[request.param]
