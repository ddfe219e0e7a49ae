"""More than AP: every measure of one set of predictions, on the images as they are and on resamples of them.

What a prediction is (true, an error of some type, on an object of some size) depends on its own image only, so it is
judged once; a resample of images counts it anew (see `matching`).

| name                                | what                                                              | better |
|-------------------------------------|-------------------------------------------------------------------|--------|
| `ap`, `ap50`, `ap75`                | COCO's average precision                                          | higher |
| `ap_small`, `ap_medium`, `ap_large` | the same of objects of these areas, split at 32² and 96² pixels   | higher |
| `ap of <class>`                     | the same of one class; two classes of one name also have their id | higher |
| `error_<type>`                      | AP at IoU .5 that errors of a type cost, TIDE's (`error_types`)   | lower  |
| `ece`                               | expected calibration error of the scores (`calibration`)          | lower  |
| `lrp`                               | optimal localisation recall precision error (`lrp`)               | lower  |

All lie in [0, 1] but the costs of errors, which are differences. A value that does not exist is NaN.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hardmine.errors import ConfigError
from hardmine.evaluation.calibration import expected_calibration_error
from hardmine.evaluation.coco import unique_names
from hardmine.evaluation.error_types import ERROR_TYPES, costs, error_types
from hardmine.evaluation.lrp import optimal_lrp
from hardmine.evaluation.matching import (
    AREAS,
    IOU_THRESHOLDS,
    Matches,
    counts_by_image,
    mean_over_classes,
    read_evidence,
)

__all__ = ["LOWER_IS_BETTER", "MEASURES", "Judged", "ap_of_class", "judge"]

SIZES = tuple(size for size in AREAS if size != "all")
ERRORS = tuple(f"error_{error}" for error in ERROR_TYPES)
MEASURES = ("ap", "ap50", "ap75", *(f"ap_{size}" for size in SIZES), *ERRORS, "ece", "lrp")
LOWER_IS_BETTER = frozenset((*ERRORS, "ece", "lrp"))
AT_50, AT_75 = (int(np.argmin(np.abs(IOU_THRESHOLDS - iou))) for iou in (0.5, 0.75))


def ap_of_class(name: str) -> str:
    """The name of the measure that is a class's AP."""
    return f"ap of {name}"


@dataclass(frozen=True, slots=True)
class Judged:
    """One set of predictions, judged on I images of C classes.

    matches: of all objects, and by size.  oracles: what mending a type of error makes of it, at IoU .5.
    """

    class_names: tuple[str, ...]
    matches: Matches
    by_size: dict[str, Matches]
    oracles: dict[str, Matches]

    @property
    def num_images(self) -> int:
        """Images in the ground truth, those without objects or predictions included."""
        return self.matches.num_images

    @property
    def names(self) -> tuple[str, ...]:
        """All measures: `MEASURES`, then AP of each class in the order of their ids."""
        return (*MEASURES, *map(ap_of_class, self.class_names))

    def measures(self, image_counts: np.ndarray, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Name -> value (R,) on R resamples of the images, given how often each image is in each: (R, I) integers.

        Images are in the order of their ids. Only `names`, where given, are computed, and are in their order; a value
        is the same with whatever others it is computed. NaN: no object (for `ece`, no prediction) is drawn for it.

        Raises:
            ConfigError: a name that is no measure; counts of another shape.
        """
        wanted = self._known(names)
        if np.ndim(image_counts) != 2 or np.shape(image_counts)[1] != self.num_images:
            shape = np.shape(image_counts)
            raise ConfigError(f"image_counts must be (resamples, {self.num_images} images), got {shape}")
        counts = counts_by_image(image_counts)
        found = self._average_precisions(wanted, counts) | self._by_size(wanted, counts)
        found |= self._costs(wanted, counts) | self._of_scores(wanted, counts)
        return {name: found[name] for name in wanted}

    def _known(self, names: Iterable[str] | None) -> list[str]:
        wanted = list(self.names if names is None else names)
        if unknown := set(wanted).difference(self.names):
            known = f"{', '.join(MEASURES)}, and {ap_of_class('<class>')!r} with a class of {self.class_names!s:.200}"
            raise ConfigError(f"no measure is called {sorted(unknown)}; there are {known}")
        return wanted

    def _average_precisions(self, wanted: Sequence[str], counts: np.ndarray) -> dict[str, np.ndarray]:
        by_class = dict(zip(map(ap_of_class, self.class_names), self.matches.classes, strict=True))
        of_classes = by_class if "ap" in wanted else by_class.keys() & set(wanted)
        found = {name: by_class[name].average_precision_of(counts) for name in of_classes}
        if "ap" in wanted:
            found["ap"] = mean_over_classes(np.stack(list(found.values())))
        for name, place in {"ap50": AT_50, "ap75": AT_75}.items():
            if name in wanted:
                found[name] = mean_over_classes(self.matches.at([place]).average_precision_of_classes(counts))
        return found

    def _by_size(self, wanted: Sequence[str], counts: np.ndarray) -> dict[str, np.ndarray]:
        sizes = {name: of for size, of in self.by_size.items() if (name := f"ap_{size}") in wanted}
        return {name: mean_over_classes(of.average_precision_of_classes(counts)) for name, of in sizes.items()}

    def _costs(self, wanted: Sequence[str], counts: np.ndarray) -> dict[str, np.ndarray]:
        oracles = {name: of for error, of in self.oracles.items() if (name := f"error_{error}") in wanted}
        if not oracles:
            return {}
        return costs(oracles, self.matches.at([AT_50]).average_precision_of_classes(counts), counts)

    def _of_scores(self, wanted: Sequence[str], counts: np.ndarray) -> dict[str, np.ndarray]:
        measures = {"ece": expected_calibration_error, "lrp": optimal_lrp}
        return {name: measure(self.matches, counts) for name, measure in measures.items() if name in wanted}


def judge(ground_truth: dict, predictions: Sequence[dict], *, source: str = "predictions") -> Judged:
    """Judges COCO results by COCO ground truth, once for all measures; neither is changed.

    `source` names the predictions in error messages.

    Raises:
        DataError: a prediction that does not fit the ground truth (as in `evaluate_predictions`), or no ground truth.
    """
    evidence = read_evidence(ground_truth, predictions, source)
    overlapping = evidence.pairs(of_any_class=True)
    is_own = evidence.detections.category[overlapping.detection] == evidence.objects.category[overlapping.object]
    pairs = overlapping.where(is_own)
    of_all, *of_sizes = (evidence.match(pairs, area) for area in AREAS.values())
    matches, *by_size = (matching.by_class(evidence.detections) for matching in (of_all, *of_sizes))
    oracles = error_types(evidence, of_all, overlapping).oracles
    names = tuple(unique_names(ground_truth["categories"]))
    return Judged(names, matches, dict(zip(SIZES, by_size, strict=True)), oracles)
