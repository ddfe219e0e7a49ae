"""Anybody's predictions as a table, each known to fit the labels.

prediction (number in the results, from 0), image_id, category_id, category, x1, y1, x2, y2 in pixels, score
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from hardmine.boxes import SIDES
from hardmine.errors import DataError
from hardmine.evaluation.coco import checked_predictions
from hardmine.mining.labels import Labels

__all__ = ["refuse_unusable", "results_table"]

WHERE = ("image_id", "category_id", *SIDES, "score")


def results_table(labels: Labels, predictions: Sequence[dict], source: str) -> pl.DataFrame:
    """COCO results as a table.

    Raises: DataError: no result, one twice, one that does not fit the labels, or a score outside 0..1; the message
        names the source and the record, counted from 0.
    """
    truth = {
        "images": [{"id": image_id} for image_id in labels.images["image_id"]],
        "categories": [{"id": category_id} for category_id in labels.categories],
    }
    checked = checked_predictions(truth, predictions, source)
    if not checked:
        raise DataError(f"{source}: no prediction in it; expected at least one, so that there is something to mine")
    box = np.array([record["bbox"] for record in checked], dtype=float)
    corners = np.hstack([box[:, :2], box[:, :2] + box[:, 2:]])
    table = pl.DataFrame(
        {
            "prediction": np.arange(len(checked)),
            "image_id": np.array([record["image_id"] for record in checked], dtype=np.int64),
            "category_id": np.array([record["category_id"] for record in checked], dtype=np.int64),
            "category": [labels.categories[record["category_id"]] for record in checked],
            **dict(zip(SIDES, corners.T, strict=True)),
            "score": np.array([record["score"] for record in checked], dtype=float),
        }
    )
    refuse_unusable(table, source)
    return table


def refuse_unusable(table: pl.DataFrame, source: str) -> None:
    """Raises: DataError: a score outside 0..1, or a prediction twice; the message names the record."""
    outside = table.filter(~pl.col("score").is_between(0, 1))
    if len(outside):
        raise DataError(
            f"{source}, record {outside['prediction'][0]}: score is {outside['score'][0]:g}, expected 0 to 1; bring "
            f"scores there first (a sigmoid, or a division by the largest)"
        )
    if len(table) > table.select(WHERE).n_unique():
        again = table.filter(~pl.struct(WHERE).is_first_distinct()).row(0, named=True)
        first = table.filter(pl.all_horizontal(pl.col(name) == again[name] for name in WHERE))["prediction"][0]
        raise DataError(
            f"{source}, record {again['prediction']}: the same as record {first}; write each prediction once"
        )
