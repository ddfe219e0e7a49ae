"""How good is a detector? COCO's average precision, with every gap said out loud.

A prediction is *true* at an IoU threshold when it is the best-scored one on a labelled object of its class. Sorting
all predictions of a class by score draws a precision-recall curve; AP is the mean height of its upper envelope at 101
recalls, then over the thresholds .50, .55, ... .95, then over the classes. The numbers are faster-coco-eval's. This
module adds what that leaves to its caller: records from outside are checked before they are scored, and a value that
does not exist (no object of that size or class) is `None`, not -1.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from faster_coco_eval import COCO, COCOeval_faster

from hardmine.data import DetectionDataset
from hardmine.data.identity import as_key
from hardmine.errors import DataError
from hardmine.predictions import Confirmed, Found, as_coco_results, found_records, read_json, resolve

__all__ = [
    "CheckedPredictions",
    "Metrics",
    "checked_arrays",
    "checked_predictions",
    "evaluate_found",
    "evaluate_predictions",
    "read_predictions",
    "unique_names",
]

STANDARD_ROWS = {
    "ap": 0,
    "ap50": 1,
    "ap75": 2,
    "ap_small": 3,
    "ap_medium": 4,
    "ap_large": 5,
    "ar100": 8,
}  # of COCO's twelve


@dataclass(frozen=True, slots=True)
class Metrics:
    """COCO's box metrics in [0, 1]. `None` where there is no object of that size or class to find.

    `ap_small`, `ap_medium`, `ap_large` split at object areas of 32² and 96² pixels; `ar100` is the mean recall with
    100 boxes per image and class.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar100: float | None
    per_class: dict[str, float | None]

    def to_dict(self) -> dict:
        """As a JSON-able dictionary; an undefined value is null."""
        return asdict(self)


def evaluate_predictions(ground_truth: dict, predictions: Sequence[dict], *, source: str = "predictions") -> Metrics:
    """Scores predictions (COCO results: image_id, category_id, bbox as x, y, width, height, score) by COCO's rules.

    `ground_truth` is a COCO dictionary; neither argument is changed. `source` names the predictions in error messages.

    Raises:
        DataError: a prediction for an unknown image or category, or with a box or score that is not a finite number.
    """
    truth, found = _numbered(ground_truth, checked_predictions(ground_truth, predictions, source))
    evaluator = COCOeval_faster(COCO(truth), COCO(found), "bbox")
    evaluator.run()
    names = unique_names(ground_truth["categories"])
    precision = evaluator.eval["precision"][:, :, :, 0, -1]  # (T, 101, C): all areas, 100 detections
    return Metrics(
        **{name: _defined(evaluator.stats[row]) for name, row in STANDARD_ROWS.items()},
        per_class={name: _defined(np.mean(precision[:, :, c])) for c, name in enumerate(names)},
    )


def evaluate_found(dataset: DetectionDataset, found: Found, confirmed: Confirmed | None = None) -> Metrics:
    """Scores predictions in any form that `hardmine.predictions` reads. Raises: as `resolve`."""
    return evaluate_predictions(dataset.coco_ground_truth(), as_coco_results(resolve(found, dataset, confirmed)))


def read_predictions(path: Path) -> list[dict]:
    """Reads a COCO results file, packed by gzip or not; `evaluate_predictions` checks the records.

    Raises:
        DataError: the file is missing, is not JSON, or is not a list of records.
    """
    predictions = read_json(path)
    if not isinstance(predictions, list):
        raise DataError(f"{path}: expected a list of COCO results, got {type(predictions).__name__}")
    return predictions


def checked_predictions(ground_truth: dict, predictions: Sequence[dict], source: str) -> list[dict]:
    """The predictions reduced to the four fields that are scored, each known to fit the ground truth."""
    image_ids, category_ids = ([item["id"] for item in ground_truth[items]] for items in ("images", "categories"))
    found = checked_arrays(predictions, source, image_ids, category_ids)
    columns = (found.image.tolist(), found.category.tolist(), found.box.tolist(), found.score.tolist())
    return [
        {"image_id": image_ids[image], "category_id": category_ids[category], "bbox": box, "score": score}
        for image, category, box, score in zip(*columns, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class CheckedPredictions:
    """image, category: (P,) places among the ids of the ground truth.  box: (P, 4) xywh.  score: (P,)."""

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    score: np.ndarray

    def at(self, rows: np.ndarray) -> "CheckedPredictions":
        """Those of some rows, in their order."""
        return CheckedPredictions(self.image[rows], self.category[rows], self.box[rows], self.score[rows])


def checked_arrays(
    predictions: Sequence[dict], source: str, image_ids: Sequence[Any], category_ids: Sequence[Any]
) -> CheckedPredictions:
    """Raises: DataError: a prediction of another image or category, or that is none."""
    found = found_records(predictions, source)
    ids = {"image_id": image_ids, "category_id": category_ids}
    image, category = (_places(found, field, of_field) for field, of_field in ids.items())
    return CheckedPredictions(image, category, found.boxes(), found.rows["score"].to_numpy())


def _places(found: Found, field: str, ids: Sequence[Any]) -> np.ndarray:
    place = {as_key(own): place for place, own in enumerate(ids)}
    known = pl.DataFrame({field: list(place), "place": list(place.values())}, {field: pl.String, "place": pl.Int64})
    places = found.rows.select(field).join(known, on=field, how="left", maintain_order="left")["place"]
    if places.null_count():
        row = places.is_null().arg_max() or 0
        raise DataError(
            f"{found.where(row)}: {field} {found.rows[field][row]} is not in the ground truth (it has {ids!s:.120}); "
            "evaluate on its own split"
        )
    return places.to_numpy()


def _numbered(ground_truth: dict, predictions: list[dict]) -> tuple[dict, dict]:
    """Both as data sets with small numbers for ids, in the order of these.

    The evaluator keeps ids as floats and takes large ones for each other; and it reads 0 as "matched to nothing".
    """
    lists = {items: sorted(ground_truth[items], key=_by_id) for items in ("images", "categories")}
    image, category = ({item["id"]: number for number, item in enumerate(of, start=1)} for of in lists.values())
    known = {items: [item | {"id": number} for number, item in enumerate(of, start=1)] for items, of in lists.items()}
    found = [p | {"area": p["bbox"][2] * p["bbox"][3], "iscrowd": 0} for p in predictions]
    truth, found = (
        known
        | {
            "annotations": [
                a | {"id": number, "image_id": image[a["image_id"]], "category_id": category[a["category_id"]]}
                for number, a in enumerate(annotations, start=1)
            ]
        }
        for annotations in (ground_truth["annotations"], found)
    )
    return truth, found


def _by_id(item: dict) -> tuple[bool, Any]:
    """Numbers by size, then texts by letter."""
    return isinstance(item["id"], str), item["id"]


def unique_names(categories: Sequence[dict]) -> list[str]:
    """The names of COCO categories in the order of their ids; two of one name are told apart by these."""
    counts = Counter(category["name"] for category in categories)
    ordered = sorted(categories, key=_by_id)
    return [c["name"] if counts[c["name"]] == 1 else f"{c['name']} (category {c['id']})" for c in ordered]


def _defined(value: float) -> float | None:
    return float(value) if value > -1 else None
