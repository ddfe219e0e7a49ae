"""From suspicion to probability: errors planted in the labels show what an error looks like in these predictions.

Predictions of a fold do not depend on the labels of that fold. So labels can be spoilt after the fact, as often as one
likes: what the predictions then say of a spoilt label is what they would have said of a faulty one. A logistic
regression on that evidence tells faulty from right, on this data set and with this model: how surely it finds a hard
object, how well it places boxes, which classes it confuses.

    wrong class     the label gets another class of the data set
    badly located   the box moves by .25 to .5 of its sides, towards more room
    spurious        the box moves to a place of its image where nothing is labelled

The labels as they are stand for right ones, although some are not: that makes the probabilities cautious.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hardmine.mining.matching import match
from hardmine.mining.pairs import Detections, Mask, Numbers, Objects, Places, pairs_in_parts
from hardmine.mining.suspects import FAULTS, NEAR_IOU, Suspicion, suspect

__all__ = ["Calibration"]

RIGHT = "right"
PRIOR = 0.05
"""Share of labels that is expected to be at fault in each of the three ways."""
SHARE_SPOILT = 0.25
"""Share of labels that are spoilt at a time, so that most neighbours of a spoilt one are as they were."""
MOST_OBJECTS = 20_000
"""More would not make a dozen coefficients surer."""
FEWEST_OBJECTS = 100
"""With fewer labels there is too little to calibrate on, and the suspicion stays as it is."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an error of each kind looks like; without a model, where labels were too few, nothing is changed."""

    model: Pipeline | None

    @classmethod
    def fit(cls, objects: Objects, detections: Detections, sizes: Numbers) -> "Calibration":
        """Spoils labels and learns what that looks like. sizes: (G, 2), width and height of each object's image."""
        rng = np.random.default_rng(0)
        objects, detections, sizes = _enough(objects, detections, sizes, rng)
        is_label = ~objects.is_crowd
        if is_label.sum() < FEWEST_OBJECTS:
            return cls(None)
        found = {}
        for kind, spoil in {RIGHT: _leave, **dict(zip(FAULTS, (_move_away, _swap, _shift), strict=True))}.items():
            spoilt, is_spoilt = spoil(objects, sizes, rng)
            suspicion = suspect(spoilt, detections, match(spoilt, detections), labels_only=True)
            found[kind] = _evidence(spoilt, suspicion, sizes)[is_spoilt & is_label]
        return cls(_fit(found))

    def apply(self, objects: Objects, suspicion: Suspicion, sizes: Numbers) -> Suspicion:
        """The suspicion with a probability for each fault of an object, if `PRIOR` of the labels have it."""
        if self.model is None or not len(objects.image):
            return suspicion
        evidence = _evidence(objects, suspicion, sizes)
        by_kind = self.model.predict_proba(evidence).T * ~objects.is_crowd
        probability = dict(zip(self.model.classes_, by_kind, strict=True))
        return replace(suspicion, **{fault: probability[fault] for fault in FAULTS if fault in probability})


def _enough(
    objects: Objects, detections: Detections, sizes: Numbers, rng: np.random.Generator
) -> tuple[Objects, Detections, Numbers]:
    """What is on random images with about `MOST_OBJECTS` objects, where there are more."""
    images = np.unique(objects.image)
    if len(objects.image) <= MOST_OBJECTS:
        return objects, detections, sizes
    chosen = images[rng.random(len(images)) < MOST_OBJECTS / len(objects.image)]
    rows = np.flatnonzero(np.isin(objects.image, chosen))
    return objects.only(rows), detections.only(np.flatnonzero(np.isin(detections.image, chosen))), sizes[rows]


def _fit(found: Mapping[str, Numbers]) -> Pipeline:
    """Tells the kinds apart by their evidence, each weighing as much as it is expected to occur."""
    kinds = np.repeat(list(found), [len(rows) for rows in found.values()])
    share = {kind: PRIOR if kind in FAULTS else 1 - PRIOR * len(FAULTS) for kind in found}
    weights = np.concatenate([np.full(len(rows), share[kind] / max(1, len(rows))) for kind, rows in found.items()])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    rows = np.concatenate(list(found.values()))
    with threadpool_limits(1):  # products with a dozen columns: several threads would mostly wait for each other
        return model.fit(rows, kinds, logisticregression__sample_weight=weights * len(kinds))


def _evidence(objects: Objects, suspicion: Suspicion, sizes: Numbers) -> Numbers:
    """What may tell a faulty label from a right one, (G, 11)."""
    border = (objects.boxes[:, :2] <= 0.01 * sizes) | (objects.boxes[:, 2:] >= 0.99 * sizes)
    log_area = np.log((objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(axis=1).clip(min=1e-6))
    typical = _mean_of_others(log_area, objects.category)
    support = suspicion.evidence[:, 0] * suspicion.evidence[:, 1]
    columns = [
        suspicion.evidence,
        np.column_stack([suspicion.spurious, suspicion.wrong_class, suspicion.badly_located, support]),
        np.column_stack([border.any(axis=1), np.abs(log_area - typical), _mean_of_others(support, objects.image)]),
    ]
    return np.hstack(columns)


def _mean_of_others(values: Numbers, groups: Places) -> Numbers:
    """The mean of the other members of each one's group; the mean of all where it is alone."""
    _, group = np.unique(groups, return_inverse=True)
    count, total = np.bincount(group)[group] - 1, np.bincount(group, values)[group] - values
    return np.divide(total, count, out=np.full(len(values), values.mean()), where=count > 0)


def _leave(objects: Objects, _: Numbers, __: np.random.Generator) -> tuple[Objects, Mask]:
    return objects, np.ones(len(objects.image), dtype=bool)


def _swap(objects: Objects, _: Numbers, rng: np.random.Generator) -> tuple[Objects, Mask]:
    categories, label = np.unique(objects.category, return_inverse=True)
    if len(categories) < 2:
        return objects, np.zeros(len(label), dtype=bool)
    other = (label + rng.integers(1, len(categories), len(label))) % len(categories)
    chosen = rng.random(len(label)) < SHARE_SPOILT
    return replace(objects, category=np.where(chosen, categories[other], objects.category)), chosen


def _shift(objects: Objects, sizes: Numbers, rng: np.random.Generator) -> tuple[Objects, Mask]:
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    towards = np.where(objects.boxes[:, :2] + objects.boxes[:, 2:] > sizes, -1, 1)
    moved = objects.boxes + np.tile(towards * sides * rng.uniform(0.25, 0.5, sides.shape), 2)
    return _with_boxes(objects, moved.clip(0, np.tile(sizes, 2)), rng)


def _move_away(objects: Objects, sizes: Numbers, rng: np.random.Generator) -> tuple[Objects, Mask]:
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    corner = rng.random(sides.shape) * (sizes - sides).clip(min=0)
    moved, chosen = _with_boxes(objects, np.hstack([corner, corner + sides]), rng)
    return moved, chosen & ~_touches_another(moved, objects)


def _with_boxes(objects: Objects, boxes: Numbers, rng: np.random.Generator) -> tuple[Objects, Mask]:
    chosen = rng.random(len(boxes)) < SHARE_SPOILT
    return replace(objects, boxes=np.where(chosen[:, None], boxes, objects.boxes)), chosen


def _touches_another(moved: Objects, objects: Objects) -> Mask:
    """Whether a moved box lies on a label, be it the one that it was."""
    boxes = Detections(moved.image, moved.category, moved.boxes, np.zeros(len(moved.image)))
    touches = np.zeros(len(moved.image), dtype=bool)
    for part, pairs in pairs_in_parts(objects, boxes):
        _, iou = pairs.best(len(part))
        touches[part] = iou >= NEAR_IOU
    return touches
