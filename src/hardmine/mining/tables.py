"""What a set of predictions says of a data set: one table each of its images, its objects and the predictions.

data set -> labels, predictions -> results; both, as arrays, -> match, name, suspect -> tables

The predictions may be of any framework's model, in any form that `hardmine.predictions` reads.
"""

import math
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
from hardmine.predictions import Confirmed, Found, found_records
from hardmine.tables.columns import SIDES

__all__ = ["TABLES", "MinedTables", "hardest", "image_weight", "largest", "mine", "mine_tables"]

TABLES = ("images", "objects", "predictions", "suspects")


@dataclass(frozen=True, slots=True)
class MinedTables:
    """The tables; every image, object and prediction is in the first three once, in the order in which it came.

    images: image_id, file_name (in `folder`), width, height; num_objects, num_predictions, hard_positives,
        hard_negatives: how many; hardness: sum over the hard ones; weight: how often the image should be drawn, with
        mean 1.
    objects: object (number in the data set), image_id, category_id, category, x1, y1, x2, y2, is_crowd, is_duplicate;
        kind: hard positive, easy positive, crowd, duplicate (there twice) or unreadable (a place of anything); reason:
        missed, low score, low IoU, or nothing; prediction that takes it, its score and iou (null: none does); hardness;
        spurious, wrong_class, badly_located: probability that the label is at fault.
    predictions: prediction (number in the results, from 0), image_id, category_id, category, x1, y1, x2, y2, score;
        kind: hard or easy positive, hard or easy negative, or ignored; error: one of `ERRORS`, or "no area" where it
        has none in its image; object that it takes, or else the nearest of its class, or else of another (null: it
        overlaps none), and iou with that; hardness;
        missing: probability that it is an object that has no label.
    suspects: see `suspect_table`.
    categories, folder, origin: as in `Labels`.
    """

    images: pl.DataFrame
    objects: pl.DataFrame
    predictions: pl.DataFrame
    suspects: pl.DataFrame
    categories: Mapping[int, str]
    folder: Path | None
    origin: tuple[str, str] = ("", "")

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
    predictions: Sequence[dict] | Found,
    source: str = "predictions",
    dynamics: pl.DataFrame | None = None,
    confirmed: Confirmed | None = None,
) -> MinedTables:
    """Matches predictions to a data set and says of everything what it is, how hard, and how suspect.

    Images in which an object could not be read, nobody knows where, are left out, with what was predicted on them.

    Args: predictions: COCO results, or what `predictions.read_found` read.
        dynamics: how each object was learnt, as `training.record.read_dynamics` gives it; its columns are added to
        those of the objects.
        confirmed: what is known of the predictions' boxes and classes, and then not questioned.
    Raises: DataError: no result, one that does not fit the data set, a score outside 0..1, or boxes or classes that
        are plainly others than they are taken for.
    """
    labels = labels_of(dataset)
    found = predictions if isinstance(predictions, Found) else found_records(predictions, source)
    tables = mine_tables(labels, results_table(dataset, found, confirmed))
    if dynamics is None:
        return tables
    place = pl.int_range(pl.len()).over("image_id").alias("place")
    objects = tables.objects.with_columns(place)
    return replace(tables, objects=objects.join(dynamics, on=("image_id", "place"), how="left", maintain_order="left"))


def mine_tables(labels: Labels, results: pl.DataFrame, calibration: Calibration | None = None) -> MinedTables:
    """The same from tables, as `results_table` gives them; a calibration is fitted where none is given."""
    once = replace(labels, objects=labels.objects.filter(~pl.col("is_duplicate")))
    objects, detections = objects_in(once.objects), detections_in(results)
    matching = match(objects, detections)
    clipped = _clip(results, labels.sizes_of(results))
    suspicion = suspect(objects, detections, matching, is_visible=_has_area(clipped))
    sizes = once.sizes_of(once.objects)
    if calibration is None:
        calibration = Calibration.fit(objects, detections, sizes)
    suspicion = calibration.apply(objects, suspicion, sizes)
    object_table = _with_duplicates(_object_table(once, results, detections, matching, suspicion), labels.objects)
    prediction_table = _prediction_table(once, results, detections, matching, _has_area(clipped))
    prediction_table = prediction_table.with_columns(missing=suspicion.missing)
    images = _image_table(labels, object_table, prediction_table)
    suspects = suspect_table(suspicion, object_table, clipped)
    named = labels.categories, labels.folder, labels.origin
    return MinedTables(images, object_table, prediction_table, suspects, *named)


def _clip(results: pl.DataFrame, sizes: np.ndarray) -> pl.DataFrame:
    """What lies in the image of each box."""
    corners = results.select(SIDES).to_numpy().clip(0, np.tile(sizes, 2))
    return results.with_columns(pl.Series(side, column) for side, column in zip(SIDES, corners.T, strict=True))


def _has_area(boxes: pl.DataFrame) -> np.ndarray:
    return boxes.select((pl.col("x2") > pl.col("x1")) & (pl.col("y2") > pl.col("y1"))).to_series().to_numpy()


def _with_duplicates(table: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """The table of objects with those that repeat another, in their place."""
    again = objects.filter(pl.col("is_duplicate")).with_columns(kind=pl.lit("duplicate"), reason=pl.lit(""))
    return pl.concat([table, again], how="diagonal_relaxed").sort("object")


def _object_table(
    labels: Labels, results: pl.DataFrame, detections: Detections, matching: Matching, suspicion: Suspicion
) -> pl.DataFrame:
    by, is_crowd = matching.taken_by, labels.objects["is_crowd"].to_numpy()
    found, hardness = by >= 0, hardness_of_objects(matching, detections)
    score, iou = np.zeros(len(by)), np.zeros(len(by))
    score[found], iou[found] = detections.scores[by[found]], matching.taken_iou[by[found]]
    hard = hardness >= HARD
    reasons = [~hard | is_crowd, ~found, score < iou]
    is_unreadable = labels.objects["category_id"].is_null().to_numpy()
    kinds = ["unreadable", "crowd", "hard positive"]
    return labels.objects.with_columns(
        kind=np.select([is_unreadable, is_crowd, hard], kinds, "easy positive"),
        reason=np.select(reasons, ["", "missed", "low score"], "low IoU"),
        prediction=numbers_at(results["prediction"], by),
        score=_or_null(score, found),
        iou=_or_null(iou, found),
        hardness=_or_null(hardness, ~is_crowd),
        **{fault: _or_null(getattr(suspicion, fault), ~is_crowd) for fault in FAULTS},
    )


def _prediction_table(
    labels: Labels, results: pl.DataFrame, detections: Detections, matching: Matching, is_visible: np.ndarray
) -> pl.DataFrame:
    errors, hardness = name_detections(matching), hardness_of_detections(matching, detections)
    is_true = matching.taken >= 0
    nearest = np.select([is_true, matching.own >= 0], [matching.taken, matching.own], matching.other)
    iou = np.select([is_true, matching.own >= 0], [matching.taken_iou, matching.own_iou], matching.other_iou)
    negative = np.where(hardness >= HARD, "hard negative", "easy negative")
    positive = np.where(hardness >= HARD, "hard positive", "easy positive")
    errors = np.where(is_visible | is_true, errors, "no area")
    return results.with_columns(
        kind=np.select([is_true, np.isin(errors, ["ignored", "no area"])], [positive, "ignored"], negative),
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
    return counted.with_columns(image_weight(math.fsum(counted["hardness"])))


def _per_image(table: pl.DataFrame, count: str, kind: str) -> pl.DataFrame:
    """How many rows of an image there are, how many of the kind, and the hardness of these.

    The latter is summed row by row: the last bits of Polars' own sum depend on where the rows lie in memory.
    """
    is_kind = pl.col("kind") == kind
    return table.group_by("image_id").agg(
        pl.len().alias(count),
        is_kind.sum().alias(f"{kind}s".replace(" ", "_")),
        pl.col("hardness").filter(is_kind).cum_sum().last().alias(kind),
    )


def image_weight(total: float) -> pl.Expr:
    """Half of all draws go to all images alike, half to them in proportion to their hardness; `total` is its sum."""
    share = pl.col("hardness") * pl.len() / total if total > 0 else pl.lit(1.0)
    return (0.5 + 0.5 * share).alias("weight")


def _or_null(values: np.ndarray, known: np.ndarray) -> pl.Series:
    return pl.Series(values).set(pl.Series(~known), None)
