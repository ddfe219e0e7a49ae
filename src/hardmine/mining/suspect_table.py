"""The labels that are perhaps at fault, one a row, the most suspect first."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from hardmine.mining.pairs import Places
from hardmine.mining.suspects import Suspicion
from hardmine.tables.columns import SIDES

__all__ = ["SUGGESTED", "SUSPECT", "numbers_at", "suspect_table"]

SUSPECT = 0.2
"""Probability from which a label is listed."""
LABEL = ("object", "image_id", "category_id", "category", *SIDES)
BETTER = ("prediction", "category_id", "category", *SIDES, "score")
SUGGESTED: Mapping[str, str] = {name: f"suggested_{name}" for name in BETTER if name != "prediction"}


def suspect_table(suspicion: Suspicion, objects: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """kind, probability; object, image_id, category_id, category, x1, y1, x2, y2: the label (null where it is missing);
    prediction and suggested_category_id, _category, _x1, _y1, _x2, _y2, _score: what it should perhaps be (null where
    it should not be). A label is listed once, as what it most probably is; of another class only if there is one that
    it should rather have. Labels that are there twice are listed for certain, as duplicates.

    Args: objects: with `is_duplicate`; the suspicion is of the others.  predictions: with what lies in the image.
    """
    again = objects.filter(pl.col("is_duplicate"))
    labels = objects.filter(~pl.col("is_duplicate"))
    kinds = ("spurious", "wrong class", "badly located")
    wrong_class = np.where(suspicion.other >= 0, suspicion.wrong_class, 0.0)
    probabilities = np.stack([suspicion.spurious, wrong_class, suspicion.badly_located])
    kind = probabilities.argmax(axis=0)
    better = np.select([kind == 1, kind == 2], [suspicion.other, suspicion.own], -1)
    of_labels = pl.DataFrame({"kind": np.array(kinds)[kind], "probability": probabilities.max(axis=0)}).with_columns(
        object=labels["object"], prediction=numbers_at(predictions["prediction"], better)
    )
    of_places = pl.DataFrame({"probability": suspicion.missing}).select(
        pl.lit("missing").alias("kind"), "probability", object=None, prediction=predictions["prediction"]
    )
    twice = again.select(pl.lit("duplicate").alias("kind"), pl.lit(1.0).alias("probability"), "object", prediction=None)
    listed = pl.concat([of_labels, of_places, twice], how="vertical_relaxed")
    suspects = listed.filter(pl.col("probability") >= SUSPECT)
    better_rows = predictions.select(BETTER).rename(SUGGESTED)
    return (
        suspects.join(objects.select(LABEL), on="object", how="left", maintain_order="left")
        .join(better_rows, on="prediction", how="left", maintain_order="left")
        .join(predictions.select("prediction", image="image_id"), on="prediction", how="left", maintain_order="left")
        .with_columns(pl.coalesce("image_id", "image").alias("image_id"))
        .drop("image")
        .sort("probability", descending=True, maintain_order=True)
    )


def numbers_at(numbers: pl.Series, places: Places) -> pl.Series:
    """What the rows at these places are numbered; null for -1."""
    return numbers.gather(pl.Series(places).replace(-1, None).cast(pl.UInt32))
