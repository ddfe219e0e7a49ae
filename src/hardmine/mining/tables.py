"""What a set of predictions says of a data set: one table each of its images, its objects and the predictions.

COCO results + data set -> Objects, Detections -> match, name -> tables

The results may be of any framework's model: their image and category ids are those of the data set.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset
from hardmine.errors import DataError
from hardmine.evaluation.coco import checked_predictions
from hardmine.mining.calibration import calibrate
from hardmine.mining.matching import Matching, match
from hardmine.mining.naming import HARD, hardness_of_detections, hardness_of_objects, name_detections
from hardmine.mining.pairs import SIDES, Detections, Objects
from hardmine.mining.suspect_table import suspect_table
from hardmine.mining.suspects import FAULTS, Suspicion, suspect

__all__ = ["MinedTables", "detections_of", "image_folder", "mine", "objects_of"]


@dataclass(frozen=True, slots=True)
class MinedTables:
    """The tables; every image, object and prediction is in the first three once, in the order in which it came.

    images: image_id, file_name (in `image_folder`), width, height; num_objects, num_predictions, hard_positives,
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
    """

    images: pl.DataFrame
    objects: pl.DataFrame
    predictions: pl.DataFrame
    suspects: pl.DataFrame

    def hardest(self, kind: str, num: int | None = None) -> pl.DataFrame:
        """The hard positives among the objects, or the hard negatives among the predictions, hardest first."""
        table = self.predictions if kind == "hard negative" else self.objects
        ranked = table.filter(pl.col("kind") == kind).sort("hardness", descending=True, maintain_order=True)
        return ranked if num is None else ranked.head(num)


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
    objects = objects_of(dataset)
    detections = detections_of(dataset, predictions, source)
    matching = match(objects, detections)
    suspicion = calibrate(objects, detections, suspect(objects, detections, matching), _image_sizes(dataset))
    object_table = _object_table(dataset, objects, detections, matching, suspicion)
    if dynamics is not None:
        place = pl.int_range(pl.len()).over("image_id").alias("place")
        object_table = object_table.with_columns(place).join(
            dynamics, on=("image_id", "place"), how="left", maintain_order="left"
        )
    prediction_table = _prediction_table(dataset, detections, matching).with_columns(missing=suspicion.missing)
    images = _image_table(dataset, object_table, prediction_table)
    return MinedTables(images, object_table, prediction_table, suspect_table(suspicion, object_table, prediction_table))


def objects_of(dataset: DetectionDataset) -> Objects:
    """All annotated objects of a data set; they are numbered as they lie in its records."""
    counts = [len(record.labels) for record in dataset.records]
    ids = np.array([record.image_id for record in dataset.records], dtype=np.int64)
    labels = np.concatenate([record.labels for record in dataset.records])
    return Objects(
        image=np.repeat(ids, counts),
        category=np.asarray(dataset.category_ids)[labels],
        boxes=np.concatenate([record.boxes for record in dataset.records]).astype(float),
        is_crowd=np.concatenate([record.is_crowd for record in dataset.records]),
    )


def _image_sizes(dataset: DetectionDataset) -> np.ndarray:
    """Width and height of each object's image, (G, 2)."""
    sizes = np.array([(record.width, record.height) for record in dataset.records], dtype=float)
    return np.repeat(sizes, [len(record.labels) for record in dataset.records], axis=0)


def image_folder(dataset: DetectionDataset) -> Path | None:
    """The innermost folder that holds all images; None where they are generated."""
    folders = {record.file.resolve().parent for record in dataset.records if record.file is not None}
    return Path(os.path.commonpath(folders)) if folders else None


def detections_of(dataset: DetectionDataset, predictions: Sequence[dict], source: str) -> Detections:
    """COCO results as arrays, each checked against the data set.

    Raises: DataError: as `mine`; the message names the source and the record, counted from 0.
    """
    truth = {
        "images": [{"id": record.image_id} for record in dataset.records],
        "categories": [{"id": category_id} for category_id in dataset.category_ids],
    }
    checked = checked_predictions(truth, predictions, source)
    if not checked:
        raise DataError(f"{source}: no prediction in it; expected at least one, so that there is something to mine")
    sides = np.array([record["bbox"] for record in checked], dtype=float)
    detections = Detections(
        image=np.array([record["image_id"] for record in checked], dtype=np.int64),
        category=np.array([record["category_id"] for record in checked], dtype=np.int64),
        boxes=np.hstack([sides[:, :2], sides[:, :2] + sides[:, 2:]]),
        scores=np.array([record["score"] for record in checked], dtype=float),
    )
    _refuse_scores(detections.scores, source)
    _refuse_repeated(detections, source)
    return detections


def _refuse_scores(scores: np.ndarray, source: str) -> None:
    outside = np.flatnonzero((scores < 0) | (scores > 1))
    if len(outside):
        raise DataError(
            f"{source}, record {outside[0]}: score is {scores[outside[0]]:g}, expected 0 to 1; bring scores there "
            f"first (a sigmoid, or a division by the largest)"
        )


def _refuse_repeated(detections: Detections, source: str) -> None:
    rows = np.column_stack([detections.image, detections.category, detections.boxes, detections.scores])
    order = np.lexsort(rows.T)
    same = np.flatnonzero((rows[order][1:] == rows[order][:-1]).all(axis=1))
    if len(same):
        first, second = sorted(order[same[0] : same[0] + 2].tolist())
        raise DataError(f"{source}, record {second}: the same as record {first}; write each prediction once")


def _object_table(
    dataset: DetectionDataset, objects: Objects, detections: Detections, matching: Matching, suspicion: Suspicion
) -> pl.DataFrame:
    by = matching.taken_by
    found, hardness = by >= 0, hardness_of_objects(matching, detections)
    score, iou = np.zeros(len(by)), np.zeros(len(by))
    score[found], iou[found] = detections.scores[by[found]], matching.taken_iou[by[found]]
    hard = hardness >= HARD
    reasons = [~hard | objects.is_crowd, ~found, score < iou]
    return pl.DataFrame(
        {
            "object": np.arange(len(by)),
            **_where(dataset, objects),
            "kind": np.select([objects.is_crowd, hard], ["crowd", "hard positive"], "easy positive"),
            "reason": np.select(reasons, ["", "missed", "low score"], "low IoU"),
            "prediction": _or_null(by, found),
            "score": _or_null(score, found),
            "iou": _or_null(iou, found),
            "hardness": _or_null(hardness, ~objects.is_crowd),
            **{fault: _or_null(getattr(suspicion, fault), ~objects.is_crowd) for fault in FAULTS},
        }
    )


def _prediction_table(dataset: DetectionDataset, detections: Detections, matching: Matching) -> pl.DataFrame:
    errors, hardness = name_detections(matching), hardness_of_detections(matching, detections)
    is_true = matching.taken >= 0
    nearest = np.select([is_true, matching.own >= 0], [matching.taken, matching.own], matching.other)
    iou = np.select([is_true, matching.own >= 0], [matching.taken_iou, matching.own_iou], matching.other_iou)
    negative = np.where(hardness >= HARD, "hard negative", "easy negative")
    positive = np.where(hardness >= HARD, "hard positive", "easy positive")
    return pl.DataFrame(
        {
            "prediction": np.arange(len(hardness)),
            **_where(dataset, detections),
            "score": detections.scores,
            "kind": np.select([is_true, errors == "ignored"], [positive, "ignored"], negative),
            "error": errors,
            "object": _or_null(nearest, nearest >= 0),
            "iou": iou,
            "hardness": hardness,
        }
    )


def _image_table(dataset: DetectionDataset, objects: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    records = dataset.records
    images = pl.DataFrame(
        {
            "image_id": [record.image_id for record in records],
            "file_name": _file_names(dataset),
            "width": [record.width for record in records],
            "height": [record.height for record in records],
        }
    )
    tables = ((objects, "num_objects", "hard positive"), (predictions, "num_predictions", "hard negative"))
    for table, count, kind in tables:
        images = images.join(_per_image(table, count, kind), on="image_id", how="left", maintain_order="left")
    images = images.with_columns(pl.exclude("file_name").fill_null(0))
    hardness = pl.col("hard positive") + pl.col("hard negative")
    return (
        images.with_columns(hardness.alias("hardness")).drop("hard positive", "hard negative").with_columns(_weight())
    )


def _file_names(dataset: DetectionDataset) -> list[str]:
    folder = image_folder(dataset)
    files = [record.file for record in dataset.records]
    return [file.resolve().relative_to(folder).as_posix() if file and folder else "" for file in files]


def _per_image(table: pl.DataFrame, count: str, kind: str) -> pl.DataFrame:
    """How many rows of an image there are, how many of the kind, and the hardness of these."""
    is_kind = pl.col("kind") == kind
    return table.group_by("image_id").agg(
        pl.len().alias(count),
        is_kind.sum().alias(f"{kind}s".replace(" ", "_")),
        pl.col("hardness").filter(is_kind).sum().alias(kind),
    )


def _weight() -> pl.Expr:
    """Half of all draws go to all images alike, half to them in proportion to their hardness."""
    total = pl.col("hardness").sum()
    share = pl.when(total > 0).then(pl.col("hardness") * pl.len() / total).otherwise(1.0)
    return (0.5 + 0.5 * share).alias("weight")


def _where(dataset: DetectionDataset, things: Objects | Detections) -> dict[str, np.ndarray | list[str]]:
    names = dict(zip(dataset.category_ids, dataset.classes, strict=True))
    return {
        "image_id": things.image,
        "category_id": things.category,
        "category": [names[category] for category in things.category.tolist()],
        **dict(zip(SIDES, things.boxes.T, strict=True)),
    }


def _or_null(values: np.ndarray, known: np.ndarray) -> pl.Series:
    return pl.Series(values).set(pl.Series(~known), None)
