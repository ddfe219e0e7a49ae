"""What mining costs: against cleanlab's ObjectLab on the same predictions, and as the number of images grows.

python -m benchmarks.mining            needs cleanlab and pandas for the first part
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.machine import describe
from benchmarks.measure import alternate
from hardmine.mining import Detections, Objects, match, name_detections
from hardmine.mining.suspects import suspect

RESULT = Path(__file__).parent / "results" / "mining.json"
OBJECTS_PER_IMAGE, PREDICTIONS_PER_IMAGE, CLASSES, SIDE = 5, 10, 20, 640.0
CROWDED = (5, 10), (15, 100)  # objects and predictions of an image
IMAGES = 300
GROWING = (100_000, 300_000, 1_000_000)
MEMORY = 2.0  # GiB
SHARD = 100_000  # images
RUN = """
import json, resource, sys
from pathlib import Path
from hardmine.mining import label_files, mine_shards
folder = Path(sys.argv[1])
mine_shards(label_files(folder), folder / "predictions", folder / "mined", memory=float(sys.argv[2]))
print(json.dumps({"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""


def against_cleanlab(num_objects: int, num_predictions: int) -> dict[str, Any]:
    """Matching, naming, suspicion and ranking, over cleanlab's scores of all labels and images."""
    from cleanlab.object_detection.rank import get_label_quality_scores

    rng = np.random.default_rng(0)
    ids = np.arange(IMAGES)
    labels = boxes_on(ids, num_objects, rng)
    moved = labels.with_columns(pl.col("x1", "x2") + 2)
    found = pl.concat([moved, boxes_on(ids, num_predictions - num_objects, rng)])
    skewed = rng.random(len(found)) ** np.where(
        np.arange(len(found)) < len(labels), 1, 6
    )  # a third of the rest above .1
    found = found.with_columns(score=skewed)
    objects, detections = objects_of(labels), detections_of(found)
    theirs = cleanlab_labels(labels), cleanlab_predictions(found)
    timing = alternate(lambda: ours(objects, detections), lambda: get_label_quality_scores(*theirs, verbose=False), 5)
    return {"objects": num_objects, "predictions": num_predictions, "images": IMAGES, **asdict(timing)}


def ours(objects: Objects, detections: Detections) -> list[np.ndarray]:
    matching = match(objects, detections)
    name_detections(matching)
    suspicion = suspect(objects, detections, matching)
    return [np.argsort(-scores) for scores in (suspicion.missing, suspicion.spurious, suspicion.wrong_class)]


def objects_of(table: pl.DataFrame) -> Objects:
    image, category, boxes = arrays(table)
    return Objects(image, category, boxes, np.zeros(len(image), dtype=bool))


def detections_of(table: pl.DataFrame) -> Detections:
    return Detections(*arrays(table), table["score"].to_numpy())


def arrays(table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes = table.select("x1", "y1", "x2", "y2").to_numpy()
    return table["image_id"].to_numpy(), table["category_id"].to_numpy(), boxes


def cleanlab_labels(table: pl.DataFrame) -> list[dict[str, np.ndarray]]:
    of_images = (arrays(part) for part in table.partition_by("image_id", maintain_order=True))
    return [{"bboxes": boxes, "labels": category} for _, category, boxes in of_images]


def cleanlab_predictions(table: pl.DataFrame) -> list[np.ndarray]:
    """One array of (boxes, score) a class, for each image."""
    found = []
    for part in table.partition_by("image_id", maintain_order=True):
        of_class = [part.filter(pl.col("category_id") == number) for number in range(CLASSES)]
        rows = [of.select("x1", "y1", "x2", "y2", "score").to_numpy() for of in of_class]
        of_image = np.empty(CLASSES, dtype=object)
        of_image[:] = rows
        found.append(of_image)
    return found


def write_data(folder: Path, num_images: int) -> None:
    """Labels and predictions, most of which find an object, in shards of 100,000 images."""
    rng = np.random.default_rng(0)
    (folder / "predictions").mkdir()
    objects = []
    for start in range(0, num_images, SHARD):
        ids = np.arange(start, min(start + SHARD, num_images))
        of_shard = boxes_on(ids, OBJECTS_PER_IMAGE, rng)
        objects.append(of_shard)
        found = [of_shard, boxes_on(ids, PREDICTIONS_PER_IMAGE - OBJECTS_PER_IMAGE, rng)]
        moved = pl.concat(found).with_columns(
            pl.col("x1", "x2") + 2, score=rng.random(len(ids) * PREDICTIONS_PER_IMAGE)
        )
        moved.write_parquet(folder / f"predictions/{start:09}.parquet")
    pl.concat(objects).write_parquet(folder / "objects.parquet")
    names = pl.DataFrame({"category_id": np.arange(CLASSES)}).with_columns(
        category=pl.format("class {}", "category_id")
    )
    names.write_parquet(folder / "categories.parquet")
    size = {"width": int(SIDE), "height": int(SIDE)}
    images = pl.DataFrame({"image_id": np.arange(num_images)}).with_columns(
        pl.format("{}.jpg", "image_id").alias("file_name"), **{name: pl.lit(side) for name, side in size.items()}
    )
    images.write_parquet(folder / "images.parquet")


def boxes_on(ids: np.ndarray, per_image: int, rng: np.random.Generator) -> pl.DataFrame:
    """Random boxes of random classes."""
    num = len(ids) * per_image
    corner, side = rng.uniform(0, SIDE - 100, (2, num)), rng.uniform(20, 100, (2, num))
    return pl.DataFrame(
        {
            "image_id": np.repeat(ids, per_image),
            "category_id": rng.integers(0, CLASSES, num),
            "x1": corner[0],
            "y1": corner[1],
            "x2": corner[0] + side[0],
            "y2": corner[1] + side[1],
        }
    )


def measure(num_images: int) -> dict[str, float]:
    """Seconds and peak memory of a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder), num_images)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUN, folder, str(MEMORY)], check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
    return {"images": num_images, "seconds": round(seconds, 1), **json.loads(done.stdout)}


def main() -> None:
    rows = {"cleanlab": [against_cleanlab(*numbers) for numbers in CROWDED], "growth": list(map(measure, GROWING))}
    RESULT.write_text(json.dumps({"machine": describe(), "memory": MEMORY, **rows}, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
