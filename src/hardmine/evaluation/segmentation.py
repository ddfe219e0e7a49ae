"""How good masks are: intersection over union of classes, of their pixels and of their boundaries, on draws of images.

Each image is judged once: its confusion matrix is kept, of which only cells that are not 0 take memory. A draw of
images adds up what its images have, each as often as it is drawn, so pixels of large images count as any others.

    IoU of c           TP / (TP + FP + FN), of the pixels of all images of the draw
    miou               mean of IoU over the classes of which the draw has a pixel, in the truth or predicted
    accuracy           share of the pixels that are right
    mean_accuracy      mean of TP / (TP + FN) over the classes of which the truth has a pixel
    boundary_iou       as miou, of the pixels near a contour (below)
    iou of <class>     boundary iou of <class>

Pixels that the truth ignores are not judged. All measures lie in [0, 1], higher is better; one that no pixel defines is
NaN.

Boundary IoU: of the pixels of class c in the truth, those within d of the contour of their class; the same of the
prediction; the intersection of the two over their union.

    Cheng, Girshick, Dollár, Berg, Kirillov, Boundary IoU: Improving Object-Centric Image Segmentation Evaluation,
    CVPR 2021, arXiv:2103.16562.

Convention: d is 2 % of the image's diagonal, rounded, and at least 1 pixel; a pixel is within d if one that is not of
its class is at most d rows and columns away, as the authors' erosions by 3x3 have it. Outside the image nothing is of a
class, nor is what is ignored, in the truth or, at the same places, in the prediction. `*_by_image` are the values of
single images; over a data set, intersections and unions are summed first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from hardmine.core.pixels import IGNORED
from hardmine.errors import ConfigError, DataError
from hardmine.evaluation.bootstrap import resamples
from hardmine.evaluation.intervals import Difference, differences

__all__ = [
    "MASK_MEASURES",
    "JudgedMasks",
    "MaskJudge",
    "MaskMetrics",
    "Overlap",
    "boundary_iou_of_class",
    "iou_of_class",
    "join_judged",
    "judge_masks",
    "mask_differences",
]

MASK_MEASURES = ("miou", "accuracy", "mean_accuracy", "boundary_iou")
DIAGONAL_SHARE = 0.02


def iou_of_class(name: str) -> str:
    """The name of the measure that is a class's IoU."""
    return f"iou of {name}"


def boundary_iou_of_class(name: str) -> str:
    """The name of the measure that is the IoU of a class's boundaries."""
    return f"boundary iou of {name}"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Numbers of pixels by image and class, (I, C) int64: in the truth, predicted, and both."""

    true: np.ndarray
    predicted: np.ndarray
    both: np.ndarray

    def on(self, counts: np.ndarray) -> "Overlap":
        """The same by draw and class, (R, C), of draws (R, I)."""
        return Overlap(*(counts @ pixels for pixels in (self.true, self.predicted, self.both)))

    @property
    def iou(self) -> np.ndarray:
        """Of each row and class; NaN where there is no pixel."""
        return _ratio(self.both, self.true + self.predicted - self.both)


@dataclass(frozen=True, slots=True)
class MaskMetrics:
    """`MASK_MEASURES` of all images, and by class IoU and IoU of boundaries, in [0, 1]; None where no pixel is one."""

    miou: float | None
    accuracy: float | None
    mean_accuracy: float | None
    boundary_iou: float | None
    iou_per_class: dict[str, float | None]
    boundary_iou_per_class: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary; an undefined value is null."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class JudgedMasks:
    """One set of predicted masks, judged on I images of C classes.

    cells: (K, 4) int64, a row for each cell of an image's confusion matrix that is not 0: image, true class, predicted
        class, pixels.
    """

    class_names: tuple[str, ...]
    num_images: int
    cells: np.ndarray
    pixels: Overlap
    boundaries: Overlap

    @property
    def names(self) -> tuple[str, ...]:
        """All measures: `MASK_MEASURES`, then IoU of each class and of its boundaries."""
        by_class = (of(name) for of in (iou_of_class, boundary_iou_of_class) for name in self.class_names)
        return (*MASK_MEASURES, *by_class)

    @property
    def iou_by_image(self) -> np.ndarray:
        """(I, C), NaN where an image has no pixel of a class, neither true nor predicted."""
        return self.pixels.iou

    @property
    def boundary_iou_by_image(self) -> np.ndarray:
        """(I, C), as `iou_by_image`."""
        return self.boundaries.iou

    def confusion(self, image_counts: np.ndarray | None = None) -> np.ndarray:
        """(C, C) pixels by true and predicted class, of the images as they are or as often as (I,) counts say."""
        num = len(self.class_names)
        image, true, predicted, pixels = self.cells.T
        weights = pixels if image_counts is None else pixels * np.asarray(image_counts)[image]
        found = np.zeros(num * num, dtype=np.int64)
        np.add.at(found, true * num + predicted, weights)
        return found.reshape(num, num)

    def measures(self, image_counts: np.ndarray, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Name -> value (R,) on R draws of the images, given how often each image is in each: (R, I) integers.

        Raises: ConfigError: a name that is no measure; counts of another shape.
        """
        wanted = list(self.names if names is None else names)
        if unknown := set(wanted).difference(self.names):
            raise ConfigError(f"no measure is called {sorted(unknown)}; there are {', '.join(self.names):.300}")
        counts = np.asarray(image_counts)
        if counts.ndim != 2 or counts.shape[1] != self.num_images:
            raise ConfigError(f"image_counts must be (draws, {self.num_images} images), got {counts.shape}")
        found = self._all(counts)
        return {name: found[name] for name in wanted}

    @property
    def metrics(self) -> MaskMetrics:
        """All measures of the images as they are."""
        found = self.measures(np.ones((1, self.num_images), dtype=np.int64))
        value = {name: None if np.isnan(of[0]) else float(of[0]) for name, of in found.items()}
        iou, boundaries = (
            {name: value[of(name)] for name in self.class_names} for of in (iou_of_class, boundary_iou_of_class)
        )
        miou, accuracy, mean_accuracy, boundary_iou = (value[name] for name in MASK_MEASURES)
        return MaskMetrics(miou, accuracy, mean_accuracy, boundary_iou, iou, boundaries)

    def _all(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        pixels, boundaries = self.pixels.on(counts), self.boundaries.on(counts)
        of_classes = {iou_of_class: pixels.iou, boundary_iou_of_class: boundaries.iou}
        found = {
            "miou": _mean(pixels.iou),
            "accuracy": _ratio(pixels.both.sum(axis=1), pixels.true.sum(axis=1)),
            "mean_accuracy": _mean(_ratio(pixels.both, pixels.true)),
            "boundary_iou": _mean(boundaries.iou),
        }
        for called, values in of_classes.items():
            found |= dict(zip(map(called, self.class_names), values.T, strict=True))
        return found


class MaskJudge:
    """Judges masks as they come, one image after the other, and keeps no pixel.

    Raises: ConfigError: no class, or more than 255.
    """

    def __init__(self, class_names: Sequence[str], *, boundaries: bool = True):
        if not 1 <= len(class_names) <= IGNORED:
            raise ConfigError(f"masks have 1 to {IGNORED} classes, got {len(class_names)}")
        self._names, self._boundaries = tuple(class_names), boundaries
        self._cells: list[np.ndarray] = []
        self._near: list[np.ndarray] = []

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """The next image: its true labels (H, W), 255 where they are ignored, and those predicted (H, W).

        Raises: DataError: two shapes, or a label that is no class.
        """
        truth, prediction = self._checked(np.asarray(truth), np.asarray(prediction))
        num, place = len(self._names), len(self._cells)
        is_judged = truth != IGNORED
        pairs = truth[is_judged].astype(np.int64) * num + prediction[is_judged]
        pixels = np.bincount(pairs, minlength=num * num)
        cell = np.flatnonzero(pixels)
        self._cells.append(np.stack([np.full(len(cell), place), cell // num, cell % num, pixels[cell]], axis=1))
        self._near.append(self._near_contours(truth, prediction) if self._boundaries else np.zeros((3, num), int))

    def _near_contours(self, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """(3, C) pixels near the contour of their class: true, predicted, both."""
        prediction = np.where(truth == IGNORED, IGNORED, prediction)
        width = max(1, round(DIAGONAL_SHARE * float(np.hypot(*truth.shape))))
        of_true, of_predicted = _is_near_contour(truth, width), _is_near_contour(prediction, width)
        both = of_true & of_predicted & (truth == prediction)
        chosen = (truth[of_true], prediction[of_predicted], truth[both])
        return np.stack([np.bincount(labels, minlength=256)[: len(self._names)] for labels in chosen])

    def _checked(self, truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        where = f"image {len(self._cells)}"
        if truth.ndim != 2 or truth.shape != prediction.shape:
            raise DataError(
                f"{where}: the truth has shape {truth.shape}, the prediction {prediction.shape}; expected (H, W) of "
                "both; scale what was predicted to the size of the image"
            )
        num = len(self._names)
        for labels, what, also in ((truth, "truth", IGNORED), (prediction, "prediction", num - 1)):
            is_known = ((labels >= 0) & (labels < num)) | (labels == also)
            if not is_known.all():
                raise DataError(
                    f"{where}: the {what} has the label {labels[~is_known].flat[0]}; expected 0 to {num - 1}"
                    f"{f', or {IGNORED} where it is ignored' if what == 'truth' else ''}"
                )
        return truth.astype(np.int16), prediction.astype(np.int16)

    def result(self) -> JudgedMasks:
        """What was judged. Raises: DataError: no image was."""
        if not self._cells:
            raise DataError("no image was judged; expected at least one")
        num, cells = len(self._names), np.concatenate(self._cells)
        near = np.stack(self._near, axis=1)
        return JudgedMasks(self._names, len(self._cells), cells, _overlap(cells, len(self._cells), num), Overlap(*near))


def judge_masks(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str], *, boundaries: bool = True
) -> JudgedMasks:
    """Judges pairs of a true and a predicted mask, (H, W) each, one image after the other.

    Args: boundaries: False leaves boundary IoU undefined, and out of the time.
    Raises: as `MaskJudge`.
    """
    judge = MaskJudge(class_names, boundaries=boundaries)
    for truth, prediction in pairs:
        judge.add(truth, prediction)
    return judge.result()


def join_judged(parts: Sequence[tuple[Sequence[int], JudgedMasks]]) -> JudgedMasks:
    """One set of images from parts of it that were judged apart: for each, the places of its images in the whole.

    Raises: ConfigError: places that are not all of 0 .. I-1, each once; parts of other classes.
    """
    places = [place for of, _ in parts for place in of]
    names = {judged.class_names for _, judged in parts}
    if sorted(places) != list(range(len(places))) or len(names) != 1 or not _fit(parts):
        raise ConfigError(f"parts of {len(places)} judged images, of {len(names)} sets of classes, make no whole")
    order = np.argsort(places)
    cells = np.concatenate([np.column_stack([np.asarray(of)[j.cells[:, 0]], j.cells[:, 1:]]) for of, j in parts])
    cells = cells[np.argsort(cells[:, 0], kind="stable")]
    pixels, near = (
        Overlap(*(np.concatenate([getattr(getattr(j, what), part) for _, j in parts])[order] for part in OVERLAP))
        for what in ("pixels", "boundaries")
    )
    return JudgedMasks(names.pop(), len(places), cells, pixels, near)


OVERLAP = ("true", "predicted", "both")


def _fit(parts: Sequence[tuple[Sequence[int], JudgedMasks]]) -> bool:
    return all(len(places) == judged.num_images for places, judged in parts)


def mask_differences(
    runs: Mapping[str, Sequence[JudgedMasks]],
    measure: str = "miou",
    *,
    groups: np.ndarray | None = None,
    margin: float | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compares a measure of every recipe to the first one's: name -> its runs, in the order of the seeds.

    Args and intervals: as of `paired_differences`.
    Raises: ConfigError, DataError: as `differences`; runs on different numbers of images.
    """
    numbers = {run.num_images for of_recipe in runs.values() for run in of_recipe}
    if len(numbers) != 1:
        raise ConfigError(f"a paired comparison needs the same images for every run, got {sorted(numbers)} images")
    num_images = numbers.pop()
    counts = resamples(num_images, groups=groups, num_resamples=num_resamples, seed=seed)
    values = {
        name: np.stack([run.measures(counts, [measure])[measure] for run in of_recipe], axis=1)
        for name, of_recipe in runs.items()
    }
    return differences(values, num_images if groups is None else len(np.unique(groups)), margin=margin)


def _is_near_contour(labels: np.ndarray, width: int) -> np.ndarray:
    """(H, W) whether a pixel of another label, or the outside, is at most `width` rows and columns away."""
    size = 2 * width + 1
    lowest = minimum_filter(labels, size, mode="constant", cval=-1)
    return (lowest != labels) | (maximum_filter(labels, size, mode="constant", cval=-1) != labels)


def _overlap(cells: np.ndarray, num_images: int, num_classes: int) -> Overlap:
    image, true, predicted, pixels = cells.T

    def by_class(chosen: np.ndarray, of: np.ndarray) -> np.ndarray:
        found = np.zeros((num_images, num_classes), dtype=np.int64)
        np.add.at(found, (image[chosen], of[chosen]), pixels[chosen])
        return found

    whole = np.ones(len(cells), dtype=bool)
    return Overlap(by_class(whole, true), by_class(whole, predicted), by_class(true == predicted, true))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """(R,) of values (R, C) over the classes that have one."""
    is_defined = ~np.isnan(values)
    return _ratio(np.where(is_defined, values, 0).sum(axis=1), is_defined.sum(axis=1))
