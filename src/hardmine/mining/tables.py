"""What a set of predictions says of a data set: one table each of its images, its objects and the predictions.

data set -> labels, COCO results -> results; both, as arrays, -> match, name, suspect -> tables

The results may be of any framework's model: their image and category ids are those of the data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset
from hardmine.mining.calibration import Calibration
from hardmine.mining.labels import Labels, detections_in, labels_of, objects_in
from hardmine.mining.matching import Matching, match
from hardmine.mining.naming import HARD, hardness_of_detections, hardness_of_objects, name_detections
from hardmine.mining.pairs import Detections
from hardmine.mining.results import results_table
from hardmine.mining.suspect_table import numbers_at, suspect_table
from hardmine.mining.suspects import FAULTS, Suspicion, suspect

__all__ = ["TABLES", "MinedTables", "hardest", "image_weight", "largest", "mine", "mine_tables"]

TABLES = ("images", "objects", "predictions", "suspects")


@dataclass(frozen=True, slots=True)
class MinedTables:
    """The tables; every image, object and prediction is in the first three once, in the order in which it came.

    images: image_id, file_name (in `folder`), width, height; num_objects, num_predictions, hard_positives,
        hard_negatives: how many; hardness: sum over the hard ones; weight: how often the image should be drawn, with
        mean 1.
    objects: object (number in the data set), image_id, category_id, category, x1, y1, x2, y2; kind: hard positive, easy
        positive or crowd; reason: missed, low score, low IoU, or nothing; prediction that takes it, its score and iou
        (null: none does); hardness; spurious, wrong_class, badly_located: probability that the label is at fault.
    predictions: prediction (number in the results, from 0), image_id, category_id, category, x1, y1, x2, y2, score;
        kind: hard or easy positive, hard or easy negative, or ignored; error: one of `ERRORS`; object that it takes, or
        else the nearest of its class, or else of another (null: it overlaps none), and iou with that; hardness;
        missing: probability that it is an object that has no label.
    suspects: see `suspect_table`.
    categories, folder: as in `Labels`.
    """

    images: pl.DataFrame
    objects: pl.DataFrame
    predictions: pl.DataFrame
    suspects: pl.DataFrame
    categories: Mapping[int, str]
    folder: Path | None

    def hardest(self, kind: str, num: int | None = None) -> pl.DataFrame:
        """The hard positives among the objects, or the hard negatives among the predictions, hardest first."""
        table = self.predictions if kind == "hard negative" else self.objects
        return hardest(table.lazy(), kind, num)


def hardest(table: pl.LazyFrame, kind: str, num: int | None) -> pl.DataFrame:
    """The rows of a kind in a table of objects or predictions, hardest first: so many, or all."""
    return largest(table.filter(pl.col("kind") == kind), "hardness", num)


def largest(table: pl.LazyFrame, column: str, num: int | None) -> pl.DataFrame:
    """The rows with the largest values, largest first; of equals by image, as they came. No more are held at a time."""
    if num is not None:
        table = table.top_k(num, by=[column, "image_id"], reverse=[False, True])
    ordered = table.sort(column, "image_id", descending=[True, False], maintain_order=True)
    return ordered.collect(engine="streaming")


def mine(
    dataset: DetectionDataset,
    predictions: Sequence[dict],
    source: str = "predictions",
    dynamics: pl.DataFrame | None = None,
) -> MinedTables:
    """Matches COCO results to a data set and says of everything what it is, how hard, and how suspect.

    Args: dynamics: how each object was learnt, as `training.record.read_dynamics` gives it; its columns are added to
        those of the objects.
    Raises: DataError: no result, one twice, one that does not fit the data set, or a score outside 0..1.
    """
    labels = labels_of(dataset)
    tables = mine_tables(labels, results_table(labels, predictions, source))
    if dynamics is None:
        return tables
    place = pl.int_range(pl.len()).over("image_id").alias("place")
    objects = tables.objects.with_columns(place)
    return replace(tables, objects=objects.join(dynamics, on=("image_id", "place"), how="left", maintain_order="left"))


def mine_tables(labels: Labels, results: pl.DataFrame, calibration: Calibration | None = None) -> MinedTables:
    """The same from tables, as `results_table` gives them; a calibration is fitted where none is given."""
    objects, detections = objects_in(labels.objects), detections_in(results)
    matching = match(objects, detections)
    suspicion, sizes = suspect(objects, detections, matching), labels.image_sizes()
    if calibration is None:
        calibration = Calibration.fit(objects, detections, sizes)
    suspicion = calibration.apply(objects, suspicion, sizes)
    object_table = _object_table(labels, results, detections, matching, suspicion)
    prediction_table = _prediction_table(labels, results, detections, matching).with_columns(missing=suspicion.missing)
    images = _image_table(labels, object_table, prediction_table)
    suspects = suspect_table(suspicion, object_table, prediction_table)
    return MinedTables(images, object_table, prediction_table, suspects, labels.categories, labels.folder)


def _object_table(
    labels: Labels, results: pl.DataFrame, detections: Detections, matching: Matching, suspicion: Suspicion
) -> pl.DataFrame:
    by, is_crowd = matching.taken_by, labels.objects["is_crowd"].to_numpy()
    found, hardness = by >= 0, hardness_of_objects(matching, detections)
    score, iou = np.zeros(len(by)), np.zeros(len(by))
    score[found], iou[found] = detections.scores[by[found]], matching.taken_iou[by[found]]
    hard = hardness >= HARD
    reasons = [~hard | is_crowd, ~found, score < iou]
    return labels.objects.drop("is_crowd").with_columns(
        kind=np.select([is_crowd, hard], ["crowd", "hard positive"], "easy positive"),
        reason=np.select(reasons, ["", "missed", "low score"], "low IoU"),
        prediction=numbers_at(results["prediction"], by),
        score=_or_null(score, found),
        iou=_or_null(iou, found),
        hardness=_or_null(hardness, ~is_crowd),
        **{fault: _or_null(getattr(suspicion, fault), ~is_crowd) for fault in FAULTS},
    )


def _prediction_table(
    labels: Labels, results: pl.DataFrame, detections: Detections, matching: Matching
) -> pl.DataFrame:
    errors, hardness = name_detections(matching), hardness_of_detections(matching, detections)
    is_true = matching.taken >= 0
    nearest = np.select([is_true, matching.own >= 0], [matching.taken, matching.own], matching.other)
    iou = np.select([is_true, matching.own >= 0], [matching.taken_iou, matching.own_iou], matching.other_iou)
    negative = np.where(hardness >= HARD, "hard negative", "easy negative")
    positive = np.where(hardness >= HARD, "hard positive", "easy positive")
    return results.with_columns(
        kind=np.select([is_true, errors == "ignored"], [positive, "ignored"], negative),
        error=errors,
        object=numbers_at(labels.objects["object"], nearest),
        iou=iou,
        hardness=hardness,
    )


def _image_table(labels: Labels, objects: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    images = labels.images
    tables = ((objects, "num_objects", "hard positive"), (predictions, "num_predictions", "hard negative"))
    for table, count, kind in tables:
        images = images.join(_per_image(table, count, kind), on="image_id", how="left", maintain_order="left")
    images = images.with_columns(pl.exclude("file_name").fill_null(0))
    hardness = pl.col("hard positive") + pl.col("hard negative")
    counted = images.with_columns(hardness.alias("hardness")).drop("hard positive", "hard negative")
    return counted.with_columns(image_weight())


def _per_image(table: pl.DataFrame, count: str, kind: str) -> pl.DataFrame:
    """How many rows of an image there are, how many of the kind, and the hardness of these."""
    is_kind = pl.col("kind") == kind
    return table.group_by("image_id").agg(
        pl.len().alias(count),
        is_kind.sum().alias(f"{kind}s".replace(" ", "_")),
        pl.col("hardness").filter(is_kind).sum().alias(kind),
    )


def image_weight() -> pl.Expr:
    """Half of all draws go to all images alike, half to them in proportion to their hardness."""
    total = pl.col("hardness").sum()
    share = pl.when(total > 0).then(pl.col("hardness") * pl.len() / total).otherwise(1.0)
    return (0.5 + 0.5 * share).alias("weight")


def _or_null(values: np.ndarray, known: np.ndarray) -> pl.Series:
    return pl.Series(values).set(pl.Series(~known), None)
