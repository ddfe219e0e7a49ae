"""What mining costs: against cleanlab's ObjectLab on the same predictions, as the number of images grows, as a whole
command against COCO's evaluation of the same files, and what matching and resampling two runs take.

python -m benchmarks.mining                        needs cleanlab and pandas for the first part
python -m benchmarks.mining command evaluation     only these parts; the others' results stay
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.machine import describe
from benchmarks.measure import alternate, alternately
from hardmine.evaluation import match_predictions, paired_differences
from hardmine.mining import Detections, Objects, match, name_detections
from hardmine.mining.suspects import suspect

RESULT = Path(__file__).parent / "results" / "mining.json"
OBJECTS_PER_IMAGE, PREDICTIONS_PER_IMAGE, CLASSES, SIDE = 5, 10, 20, 640.0
CROWDED = (5, 10), (15, 100)  # objects and predictions of an image
IMAGES = 300
GROWING = (100_000, 300_000, 1_000_000)
MEMORY = 2.0  # GiB
SHARD = 100_000  # images
COMMAND = {"images": 5_000, "objects": 7, "predictions": 100, "classes": 80}  # as COCO's validation split
ROUNDS, RESAMPLES = 3, 1_000
COCO_EVAL = """
import sys
from faster_coco_eval import COCO, COCOeval_faster
truth = COCO(sys.argv[1])
COCOeval_faster(truth, truth.loadRes(sys.argv[2]), "bbox").run()
"""
START = """  # a process counts the memory of the one that starts it as its own: this one is small
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
seconds = time.perf_counter() - start
print(json.dumps({
    "seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_gib": used.ru_maxrss / 2**20
}))
sys.exit(os.waitstatus_to_exitcode(status))
"""
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


def whole_command() -> dict[str, Any]:
    """`hardmine mine`, and COCO's evaluation, of the same labels and results in JSON, in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth, results = coco_files()
        (folder / "labels.json").write_text(json.dumps(truth))
        (folder / "results.json").write_text(json.dumps(results))
        files = [str(folder / f"{name}.json") for name in ("labels", "results")]
        given = ("--data", files[0], "--predictions", files[1])
        number = itertools.count()
        calls = {
            "ours": lambda: process(["-m", "hardmine", "mine", *given, "--out", str(folder / f"mined{next(number)}")]),
            "peer": lambda: process(["-c", COCO_EVAL, *files]),
        }
        rounds = [dict(zip(calls, used, strict=True)) for used in alternately(list(calls.values()), ROUNDS)]
        megabytes = (folder / "results.json").stat().st_size / 1e6
    found = {
        f"{of}_{name}": round(statistics.median(getattr(each[of], name) for each in rounds), 2)
        for of in calls
        for name in ("seconds", "cpu_seconds", "peak_gib")
    }
    ratios = {
        name: round(statistics.median(getattr(each["ours"], of) / getattr(each["peer"], of) for each in rounds), 2)
        for name, of in (("ratio", "seconds"), ("cpu_ratio", "cpu_seconds"))
    }
    torch = {"torch_peak_gib": round(process(["-c", "import torch"]).peak_gib, 2)}
    return {
        **COMMAND, "megabytes": round(megabytes, 1), "rounds": ROUNDS, **found, **ratios, **torch, "machine": describe()
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took from start to end: seconds on the clock and of processors, and the most memory."""

    seconds: float
    cpu_seconds: float
    peak_gib: float


def process(arguments: Sequence[str]) -> Used:
    """Python with these arguments."""
    started = [sys.executable, "-c", START, sys.executable, *arguments]
    done = subprocess.run(started, check=True, capture_output=True, text=True)
    return Used(**json.loads(done.stdout))


def coco_files() -> tuple[dict[str, list[dict]], list[dict]]:
    """Random labels, and for each label a prediction near it and others anywhere, most of these with low scores."""
    rng, ids = np.random.default_rng(0), np.arange(1, COMMAND["images"] + 1)
    labels = coco_boxes(ids, COMMAND["objects"], rng)
    others = coco_boxes(ids, COMMAND["predictions"] - COMMAND["objects"], rng)
    near = labels.with_columns(pl.col("x") + 4, pl.col("y") - 3, score=rng.beta(4, 2, len(labels)))
    found = pl.concat([near, others.with_columns(score=rng.beta(1, 10, len(others)))]).sort("image_id")
    box = pl.concat_list(pl.col("x", "y", "width", "height").clip(0).round(2)).alias("bbox")
    annotations = labels.select("image_id", "category_id", box, (pl.col("width") * pl.col("height")).alias("area"))
    truth = {
        "images": [{"id": int(n), "file_name": f"{n:012}.jpg", "width": int(SIDE), "height": int(SIDE)} for n in ids],
        "annotations": annotations.with_row_index("id", 1).with_columns(iscrowd=0).to_dicts(),
        "categories": [{"id": n, "name": f"class {n}"} for n in range(COMMAND["classes"])],
    }
    return truth, found.select("image_id", "category_id", box, pl.col("score").round(4)).to_dicts()


def coco_boxes(ids: np.ndarray, per_image: int, rng: np.random.Generator) -> pl.DataFrame:
    num = len(ids) * per_image
    (x, y), (width, height) = rng.uniform(0, SIDE - 150, (2, num)), rng.uniform(20, 150, (2, num))
    category = rng.integers(0, COMMAND["classes"], num)
    columns = {"x": x, "y": y, "width": width, "height": height}
    return pl.DataFrame({"image_id": np.repeat(ids, per_image), "category_id": category, **columns})


def evaluation() -> dict[str, Any]:
    """Seconds of processors to match such results to their labels, and to compare two such runs by resamples."""
    truth, results = coco_files()
    runs, seconds = {}, []
    for name, step in (("one", 0.0), ("other", 0.01)):
        moved = [result | {"score": result["score"] + step * (result["category_id"] % 3)} for result in results]
        start = time.process_time()
        runs[name] = [match_predictions(truth, moved)]
        seconds.append(time.process_time() - start)
    start = time.process_time()
    paired_differences(runs, num_resamples=RESAMPLES)
    return {
        "resamples": RESAMPLES,
        "match_seconds": round(min(seconds), 1),
        "resamples_seconds": round(time.process_time() - start, 1),
        "machine": describe(),
    }


def main() -> None:
    parts = {
        "cleanlab": lambda: [against_cleanlab(*numbers) for numbers in CROWDED],
        "growth": lambda: list(map(measure, GROWING)),
        "command": whole_command,
        "evaluation": evaluation,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mining", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=[])
    chosen = parser.parse_args().parts or list(parts)
    kept = json.loads(RESULT.read_text())
    machine = {} if set(chosen) <= {"command", "evaluation"} else {"machine": describe()}
    rows = {name: parts[name]() for name in chosen}
    RESULT.write_text(json.dumps(kept | machine | {"memory": MEMORY} | rows, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
