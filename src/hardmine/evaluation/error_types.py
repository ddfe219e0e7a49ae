"""Which kind of mistake costs how much AP: every error by its type, and an oracle that mends one type alone.

The types and their oracles are those of Bolya, Foley, Hays, Hoffman, TIDE: A General Toolbox for Identifying Object
Detection Errors, ECCV 2020, arXiv:2008.08115, section 2. A prediction that is false at IoU .5 and lies on no
crowd region has one type, the first that fits; o is its largest IoU with an object of its class, x with one of another:

| type       | which predictions         | what the oracle does                                   |
|------------|---------------------------|--------------------------------------------------------|
| location   | .1 <= o < .5              | moves it onto that object                              |
| class      | x >= .5                   | gives it the class of that object                      |
| duplicate  | o >= .5                   | removes it: another prediction has the object          |
| background | o < .1 and x < .1         | removes it                                             |
| both       | the others: .1 <= x < .5  | removes it, for what it meant is not known             |

A *missed* object is one that no prediction finds and that no error of location or class is about; its oracle no longer
asks for it.

Where a mended prediction and others are then true on one object, the one of the highest score stays and the others are
removed. Two more oracles sum up: *false positives* are all removed; *false negatives*, all objects that are not found,
are no longer to be found. What a type costs is AP at IoU .5 after its oracle less AP before. It is never below 0, and
the costs of all types do not add up to what is missing to AP 1.

A class whose every object an oracle takes away has no true prediction, and keeps its AP of 0. An error's type depends
on its own image only, so that the cost is recomputed on resamples as AP is (see `matching`).

Where several types fit, the paper leaves open which it is; the order is that of the authors' code, tidecv 1.0.1, whose
types ours are. Differs from it: of an object's errors of location and class together it mends the surest only, and none
where a prediction of whatever score has found the object, where the paper keeps the one of higher score; a class with
predictions and without objects counts there as AP 0, and not at all here; one with neither does not count there after
its objects are taken away; there 100 predictions of an image count, here 100 of each class as in COCO's AP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hardmine.evaluation.coco import CheckedPredictions
from hardmine.evaluation.matching import Evidence, Matches, Matching, Pairs, mean_over_classes

__all__ = ["ERROR_TYPES", "ErrorTypes", "costs", "error_types"]

ERROR_TYPES = (
    "class",
    "location",
    "both",
    "duplicate",
    "background",
    "missed",
    "false_positive",
    "false_negative",
)
FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1


@dataclass(frozen=True, slots=True)
class ErrorTypes:
    """What is wrong with D predictions and G objects, and what each oracle makes of them.

    of_prediction: the five types -> (D,) bool; no prediction has two.  is_missed: (G,) bool.
    oracles: the types, and the two that sum up, -> what is then matched at IoU .5.
    """

    of_prediction: dict[str, np.ndarray]
    is_missed: np.ndarray
    oracles: dict[str, Matches]


def error_types(evidence: Evidence, matching: Matching, pairs: Pairs) -> ErrorTypes:
    """Every error's type; `matching` is at any thresholds of which the first is .5, `pairs` are of any class."""
    pairs = pairs.where(~evidence.objects.is_crowd[pairs.object])
    is_own = evidence.detections.category[pairs.detection] == evidence.objects.category[pairs.object]
    own, other = (_Closest.of(pairs.where(of), len(evidence.detections.score)) for of in (is_own, ~is_own))
    of_prediction = _types(own.iou, other.iou, ~(matching.is_true[0] | matching.is_ignored[0]))
    is_moved = of_prediction["location"]
    about = np.where(is_moved, own.object, np.where(of_prediction["class"], other.object, -1))
    meant = _Closest(about, np.where(is_moved, 1.0, other.iou))
    is_found = _marked(matching.object[0][matching.is_true[0]], len(evidence.objects.image))
    is_unfound = ~is_found & ~evidence.objects.is_crowd
    is_missed = is_unfound & ~_marked(about[about >= 0], len(is_found))
    mending = _Mending(evidence, matching, meant)
    return ErrorTypes(of_prediction, is_missed, _oracles(mending, of_prediction, is_missed, is_unfound))


def _oracles(
    mending: "_Mending", of_prediction: dict[str, np.ndarray], is_missed: np.ndarray, is_unfound: np.ndarray
) -> dict[str, Matches]:
    oracles = {error: mending.mended(of_prediction[error]) for error in ("class", "location")}
    oracles |= {error: mending.without(of_prediction[error]) for error in ("both", "duplicate", "background")}
    oracles["missed"] = mending.without_objects(is_missed)
    oracles["false_positive"] = mending.without(np.any(list(of_prediction.values()), axis=0))
    oracles["false_negative"] = mending.without_objects(is_unfound)
    return oracles


def costs(oracles: Mapping[str, Matches], before: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """What each type costs in AP at IoU .5, (R,), given the classes' AP (C, R) before and counts (I, R) int32."""
    return {error: mean_over_classes(_after(oracle, before, counts) - before) for error, oracle in oracles.items()}


def _after(oracle: Matches, before: np.ndarray, counts: np.ndarray) -> np.ndarray:
    after = oracle.average_precision_of_classes(counts)
    return np.where(np.isnan(after) & ~np.isnan(before), 0.0, after)


def _types(own: np.ndarray, other: np.ndarray, is_false: np.ndarray) -> dict[str, np.ndarray]:
    """From the largest IoUs (D,) with objects of the same class and of others."""
    fits = {
        "location": (own >= BACKGROUND_IOU) & (own < FOREGROUND_IOU),
        "class": other >= FOREGROUND_IOU,
        "duplicate": own >= FOREGROUND_IOU,
        "background": np.maximum(own, other) < BACKGROUND_IOU,
        "both": np.ones(len(own), dtype=bool),
    }
    first = np.argmax(list(fits.values()), axis=0)
    return {error: is_false & (first == place) for place, error in enumerate(fits)}


def _marked(places: np.ndarray, length: int) -> np.ndarray:
    is_marked = np.zeros(length, dtype=bool)
    is_marked[places] = True
    return is_marked


@dataclass(frozen=True, slots=True)
class _Closest:
    """The object that each of D predictions overlaps most, -1 for none and of equals the later, and their IoU."""

    object: np.ndarray
    iou: np.ndarray

    @classmethod
    def of(cls, pairs: Pairs, num_detections: int) -> "_Closest":
        order = np.lexsort((pairs.object, pairs.overlap, pairs.detection))
        ordered = pairs.where(order)
        last = np.flatnonzero(np.diff(ordered.detection, append=-1))
        closest = cls(np.full(num_detections, -1), np.zeros(num_detections))
        closest.object[ordered.detection[last]] = ordered.object[last]
        closest.iou[ordered.detection[last]] = ordered.overlap[last]
        return closest


class _Mending:
    """What would be matched at IoU .5, were some errors none; `meant` is the object that each prediction is about."""

    def __init__(self, evidence: Evidence, matching: Matching, meant: _Closest):
        self._evidence, self._meant = evidence, meant
        taken, is_true, is_ignored, iou = (
            table[:1] for table in (matching.object, matching.is_true, matching.is_ignored, matching.iou)
        )
        self._matching = Matching(taken, is_true, is_ignored, iou, matching.num_objects)

    def without(self, removed: np.ndarray) -> Matches:
        """Some predictions (D,) bool are not made."""
        return self._kept(self._matching, self._evidence.detections, np.flatnonzero(~removed))

    def without_objects(self, removed: np.ndarray) -> Matches:
        """Some objects (G,) bool are not to be found."""
        num_objects = self._matching.num_objects - self._evidence.num_objects(removed)
        return replace(self._matching, num_objects=num_objects).by_class(self._evidence.detections)

    def mended(self, mended: np.ndarray) -> Matches:
        """Some predictions (D,) bool find the objects that they are about; of several on one, the surest stays."""
        before, detections = self._matching, self._evidence.detections
        found = np.where(mended, self._meant.object, before.object[0])
        is_true = before.is_true[0] | mended
        category = np.where(mended, np.append(self._evidence.objects.category, -1)[found], detections.category)
        order = np.lexsort((detections.image, -detections.score, category))
        of_objects = order[is_true[order]]
        _, surest = np.unique(found[of_objects], return_index=True)
        is_kept = ~is_true
        is_kept[of_objects[surest]] = True
        iou = np.where(mended, self._meant.iou, before.iou[0])
        matching = replace(before, object=found[None], is_true=is_true[None], iou=iou[None])
        return self._kept(matching, replace(detections, category=category), order[is_kept[order]])

    @staticmethod
    def _kept(matching: Matching, detections: CheckedPredictions, rows: np.ndarray) -> Matches:
        return matching.at(rows).by_class(detections.at(rows))
