"""Time and memory of mining by parts: images grow, memory must not.

python benchmarks/mining_scale.py            1e5, 3e5 and 1e6 images with ten predictions each
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

OBJECTS_PER_IMAGE, PREDICTIONS_PER_IMAGE, CLASSES, SIDE = 5, 10, 20, 640.0
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


if __name__ == "__main__":
    for number in map(int, sys.argv[1:] or ("100000", "300000", "1000000")):
        sys.stdout.write(f"{json.dumps(measure(number))}\n")
        sys.stdout.flush()
