"""How well missing and faulty labels are found where the same images were labelled twice.

    python -m benchmarks.suspects first.json second.json IMAGES runs/s0 runs/s1 ...

Each run folder holds the predictions of its folds, `*/predictions_held_out.json`, for the images of the first labels;
the second labels are the answer. Definitions are in docs/results.md. Needs cleanlab and pandas.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sklearn.metrics import roc_auc_score
from torchvision.ops import box_iou

from hardmine.core.boxes import SIDES
from hardmine.data import open_dataset
from hardmine.mining import MinedTables, labels_of, mine
from hardmine.mining.suspects import FAULTS

PARTNER_IOU, HIT_IOU, FAULT_IOU, BORDER, RESAMPLES = 0.4, 0.5, 0.5, 2, 300
Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows ranked by a score: image of each, its score, whether it is a hit, and whether that lies at the border."""

    image: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    at_border: np.ndarray

    def average_precision(self, counts: np.ndarray, expected: np.ndarray) -> float:
        """With each image counted so often; ``expected`` hits an image, found or not."""
        order = np.argsort(-self.score, kind="stable")
        weight, hit = counts[self.image[order]], self.hit[order]
        precision = np.cumsum(weight * hit) / np.cumsum(weight).clip(min=1)
        return float((weight * hit * precision).sum() / (counts * expected).sum())

    def only(self, mask: np.ndarray) -> "Found":
        return Found(self.image[mask], self.score[mask], self.hit[mask], self.at_border[mask])


def scores_of(tables: MinedTables) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How suspect each label and each prediction is, by method."""
    score, iou = (tables.objects[name].fill_null(0).to_numpy() for name in ("score", "iou"))
    said = tables.predictions["score"].to_numpy()
    right = 1 - tables.objects.select(FAULTS).to_numpy()
    return {
        "ours": (1 - right.prod(axis=1), tables.predictions["missing"].to_numpy()),
        "confidence": (1 - score, said),
        "loss": (-np.log((score * iou).clip(1e-9)), -np.log((1 - said).clip(1e-9))),
        "objectlab": objectlab(tables),
    }


def objectlab(tables: MinedTables) -> tuple[np.ndarray, np.ndarray]:
    from cleanlab.object_detection import rank

    objects, predictions = tables.objects, tables.predictions
    label = {category_id: number for number, category_id in enumerate(tables.categories)}
    labels, found, places = [], [], []
    for image_id in tables.images["image_id"]:
        own, said = (table.filter(pl.col("image_id") == image_id) for table in (objects, predictions))
        labels.append(
            {"bboxes": own.select(SIDES).to_numpy(), "labels": np.array([label[c] for c in own["category_id"]])}
        )
        of_class = [said.filter(pl.col("category_id") == category_id) for category_id in label]
        boxes = np.empty(len(of_class), dtype=object)
        boxes[:] = [of.select(*SIDES, "score").to_numpy() for of in of_class]
        found.append(boxes)
        places.append((own["object"].to_numpy(), np.concatenate([of["prediction"].to_numpy() for of in of_class])))
    given = {"labels": labels, "predictions": found}
    of_label, of_place = np.zeros(len(objects)), np.zeros(len(predictions))
    for kind in (rank.compute_badloc_box_scores(**given), rank.compute_swap_box_scores(**given)):
        for (own, _), quality in zip(places, kind, strict=True):
            of_label[own] = np.maximum(of_label[own], 1 - np.nan_to_num(np.asarray(quality, float), nan=1))
    for (_, said), quality in zip(places, rank.compute_overlooked_box_scores(**given), strict=True):
        of_place[said] = 1 - np.nan_to_num(np.asarray(quality, float), nan=1)
    return of_label, of_place


class Truth:
    """What the second labels say of the first."""

    def __init__(self, first: MinedTables, second: pl.DataFrame) -> None:
        self.tables = first
        size = first.images.select("width", "height").row(0)
        self.image_ids = first.images["image_id"].to_numpy()
        self.labels, self.predictions = grouped(first.objects), grouped(first.predictions)
        answers = grouped(second)
        self.missing, self.is_faulty = {}, np.zeros(len(first.objects), dtype=bool)
        for image_id in self.image_ids:
            (_, boxes, category), (rows, given, given_category) = answers[image_id], self.labels[image_id]
            iou = overlaps(boxes, given)
            lost = boxes[iou.max(axis=1, initial=0) < PARTNER_IOU]
            at_border = (lost[:, :2] <= BORDER).any(axis=1) | (lost[:, 2:] >= np.array(size) - BORDER).any(axis=1)
            self.missing[image_id] = lost, at_border
            same = np.where(category[:, None] == given_category, iou, 0)
            self.is_faulty[rows] = same.max(axis=0, initial=0) < FAULT_IOU

    def places(self, score: np.ndarray) -> Found:
        """The candidates of all images; each missing label is hit by the surest that finds it."""
        parts = [self._of_image(image_id, score) for image_id in self.image_ids]
        return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _of_image(self, image_id: int, score: np.ndarray) -> tuple[np.ndarray, ...]:
        (rows, boxes, _), (_, given, _), (lost, border) = (
            of[image_id] for of in (self.predictions, self.labels, self.missing)
        )
        free = overlaps(boxes, given).max(axis=1, initial=0) < PARTNER_IOU
        order = np.flatnonzero(free)[np.argsort(-score[rows[free]], kind="stable")]
        iou, hit, at_border = overlaps(boxes[order], lost), np.zeros(len(order), bool), np.zeros(len(order), bool)
        for place in range(len(order) if len(lost) else 0):
            best = iou[place].argmax()
            if iou[place, best] >= HIT_IOU:
                hit[place], at_border[place] = True, border[best]
                iou[:, best] = 0
        return np.full(len(order), image_id), score[rows[order]], hit, at_border

    def evaluate(self, of_labels: np.ndarray, of_places: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """AP of missing labels, of those away from the border, of all differences: (draws, 3)."""
        places, objects = self.places(of_places), self.tables.objects["image_id"].to_numpy()
        labels = Found(objects, of_labels, self.is_faulty, np.zeros(len(objects), bool))
        both = Found(*(np.concatenate([getattr(f, name) for f in (places, labels)]) for name in Found.__slots__))
        inner = places.only(~(places.hit & places.at_border))
        expected, away = np.zeros(draws.shape[1]), np.zeros(draws.shape[1])
        for image_id, (lost, border) in self.missing.items():
            expected[image_id], away[image_id] = len(lost), (~border).sum()
        faulty = np.bincount(objects[self.is_faulty], minlength=draws.shape[1])
        sets = (places, expected), (inner, away), (both, expected + faulty)
        print("  AUROC", *(f"{roc_auc_score(found.hit, found.score):.3f}" for found, _ in sets))
        return np.array([[found.average_precision(counts, number) for found, number in sets] for counts in draws])


def grouped(table: pl.DataFrame) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows, boxes and classes of each image."""
    rows = table.with_row_index("row").partition_by("image_id", as_dict=True)
    return {
        key[0]: (t["row"].to_numpy(), t.select(SIDES).to_numpy(), t["category_id"].to_numpy())
        for key, t in rows.items()
    }


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    return box_iou(torch.tensor(boxes.reshape(-1, 4)), torch.tensor(others.reshape(-1, 4))).numpy()


def main() -> None:
    first, second, images, *runs = map(Path, sys.argv[1:])
    dataset = open_dataset(first, images=images)
    answers = labels_of(open_dataset(second, images=images)).objects
    ids = np.array([record.image_id for record in dataset.records])
    rng = np.random.default_rng(0)
    drawn = [ids, *(rng.choice(ids, len(ids)) for _ in range(RESAMPLES))]
    draws = np.stack([np.bincount(some, minlength=ids.max() + 1) for some in drawn])
    by_run = []
    for run in runs:
        files = sorted(run.glob("*/predictions_held_out.json"))
        tables = mine(dataset, [result for file in files for result in json.loads(file.read_text())], str(run))
        truth = Truth(tables, answers)
        by_run.append({name: truth.evaluate(*scores, draws) for name, scores in scores_of(tables).items()})
    means = {name: np.mean([of[name] for of in by_run], axis=0) for name in by_run[0]}
    for name, ap in means.items():
        print(f"{name:12}", *map(interval, ap.T), "| ours ahead by", *map(interval, (means["ours"] - ap).T))


def interval(values: np.ndarray) -> str:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
