"""What a mined folder says to the next round: how often each image should be drawn."""

from pathlib import Path

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset
from hardmine.errors import DataError

__all__ = ["image_weights"]


def image_weights(folder: Path | str, dataset: DetectionDataset) -> np.ndarray:
    """The weight of each image of a data set, (n,) float64, from `images.parquet` in a folder of `hardmine mine`.

    Raises: DataError: there is no such table, an image of the data set is not in it or is twice, or weights that are
        not finite, are negative or all 0.
    """
    file = Path(folder) / "images.parquet"
    try:
        table = pl.read_parquet(file).select(pl.col("image_id").cast(pl.Int64), pl.col("weight").cast(pl.Float64))
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file}: cannot be read ({reason}); give the folder that `hardmine mine` wrote") from error
    weight_of = dict(table.iter_rows())
    ids = [record.image_id for record in dataset.records]
    missing = [image_id for image_id in ids if image_id not in weight_of]
    if missing or len(weight_of) < len(table):
        what = f"no image id {missing[0]}" if missing else "an image id twice"
        raise DataError(f"{file}: {what}; mine the split that is trained on, {dataset.name} {dataset.split!r}")
    return _checked(np.array([weight_of[image_id] for image_id in ids], dtype=float), file)


def _checked(weights: np.ndarray, file: Path) -> np.ndarray:
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise DataError(f"{file}: weights must be finite, at least 0 and not all 0; mine again")
    return weights
