"""Which pixels and regions of masks are perhaps labelled wrong, given probabilities of images not learnt from.

    pixel     1 - p[label], of ignored pixels 0: self-confidence, as confident learning has it
    region    a connected part (by the sides of pixels) where one class is labelled and one other is the most probable;
              its margin is the mean of p[predicted] - p[label]

Every contour is drawn a little differently by any two annotators, and by a model: thin slivers along it disagree, and
are no faults. So what counts in a region is how deep it is: the distance in pixels from its innermost pixel to the
next that does not belong to it.

    score = margin · depth / (depth + HALF_DEPTH)

Lad, Mueller, Estimating label quality and errors in semantic segmentation data via any model, arXiv:2307.05080, score
pixels and images; regions are what someone corrects. A model that learnt from the same masks repeats their faults:
predict each fold by a model that did not learn it (`hardmine.data.hold_out_masks`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.ndimage import distance_transform_edt, find_objects
from skimage.measure import label as label_components

from hardmine.core.pixels import IGNORED
from hardmine.data.segmentation.records import SegmentationDataset
from hardmine.errors import DataError

__all__ = [
    "HALF_DEPTH",
    "SuspectMasks",
    "numbered_regions",
    "pixel_suspicion",
    "self_confidence",
    "suspect_masks",
    "suspect_regions",
]

HALF_DEPTH = 2.0
"""Pixels of depth at which a region has half of its margin as score: about as far as contours differ by themselves."""
SMALLEST_REGION = 4
_MOST_REGIONS = 2**16 - 1
_COLUMNS = ("label", "predicted", "x1", "y1", "x2", "y2", "pixels", "depth", "margin", "score")


@dataclass(frozen=True, slots=True)
class SuspectMasks:
    """What is suspect in the masks of a data set.

    regions: the most suspect first; image_id, file, label and predicted (names of classes), x1, y1, x2, y2 (pixels, of
        the box around it), pixels (how many), depth (pixels), margin and score (0 to 1).
    images: in the order of the data set; image_id, file, self_confidence (mean of p[label]), regions (how many),
        suspect_pixels (in them), score (of the most suspect region, 0 without any).
    """

    regions: pl.DataFrame
    images: pl.DataFrame


def pixel_suspicion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """1 - p[label] of each pixel, (H, W) float in [0, 1]; 0 where the label is ignored.

    Args: labels: (H, W), 0..C-1 or 255.  probabilities: (C, H, W), of each class.
    Raises: DataError: shapes that do not belong together, a label that is no class, or numbers that are no
        probabilities.
    """
    _check(labels, probabilities)
    return np.where(labels == IGNORED, 0, 1 - _of_label(labels, probabilities)).clip(0, 1)


def suspect_regions(
    labels: np.ndarray, probabilities: np.ndarray, smallest: int = SMALLEST_REGION
) -> dict[str, np.ndarray]:
    """The regions of one image that are labelled otherwise than predicted, the most suspect first.

    Args: labels and probabilities: as of `pixel_suspicion`.  smallest: pixels that a region has at least.
    Returns: columns (R,): label, predicted (numbers of classes), x1, y1, x2, y2, pixels, depth, margin, score.
    Raises: DataError: as `pixel_suspicion`.
    """
    return numbered_regions(labels, probabilities, smallest)[0]


def numbered_regions(
    labels: np.ndarray, probabilities: np.ndarray, smallest: int = SMALLEST_REGION
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The same, and where they are: (H, W) uint16, of each pixel the number of its region, from 1 on; 0 in none.

    Numbers follow the order of the rows. More than 65,535 regions have no number: the least suspect are left out.
    """
    _check(labels, probabilities)
    predicted = probabilities.argmax(axis=0)
    differs = (labels != IGNORED) & (predicted != labels)
    kind = np.where(differs, labels.astype(np.int64) * len(probabilities) + predicted + 1, 0)
    components = np.asarray(label_components(kind, background=0, connectivity=1))
    margin = probabilities.max(axis=0) - _of_label(labels, probabilities)
    rows = [
        (*_region(components[place] == number, place, labels, predicted, margin), number)
        for number, place in enumerate(find_objects(components), start=1)
    ]
    kept = sorted((row for row in rows if row[6] >= smallest), key=lambda row: -row[-2])[:_MOST_REGIONS]
    table = np.array([row[:-1] for row in kept], dtype=np.float64).reshape(-1, len(_COLUMNS))
    numbers = np.zeros(int(components.max(initial=0)) + 1, dtype=np.uint16)
    numbers[[row[-1] for row in kept]] = np.arange(1, len(kept) + 1)
    kinds = [np.int64] * 7 + [np.float64] * 3
    columns = {name: table[:, place].astype(kinds[place]) for place, name in enumerate(_COLUMNS)}
    return columns, numbers[components]


def self_confidence(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """p[label] of each pixel that is not ignored, (n,), in reading order. Raises: DataError: as `pixel_suspicion`."""
    _check(labels, probabilities)
    return _of_label(labels, probabilities)[labels != IGNORED]


def suspect_masks(
    dataset: SegmentationDataset, probabilities: Iterable[np.ndarray], smallest: int = SMALLEST_REGION
) -> SuspectMasks:
    """What is suspect in all masks of a data set.

    Args: probabilities: of its images in their order, (C, H, W) each, from a model that did not learn from them; one
        at a time is looked at, so a generator keeps memory small.  smallest: as of `suspect_regions`.
    Raises: DataError: as `pixel_suspicion`, naming the image; more or fewer probabilities than images.
    """
    regions, images = [], []
    for place, of_image in _paired(dataset, probabilities):
        record, labels = dataset.records[place], dataset.mask(place)
        called = {"image_id": record.image_id, "file": "" if record.file is None else str(record.file)}
        try:
            found = suspect_regions(labels, np.asarray(of_image), smallest)
        except DataError as error:
            raise DataError(f"{called['file'] or dataset.name}, image id {record.image_id}: {error}") from error
        is_labelled = labels != IGNORED
        confidence = _of_label(labels, np.asarray(of_image))[is_labelled]
        regions.append(_named(found, dataset.classes, called))
        images.append(
            {
                **called,
                "self_confidence": float(confidence.mean()) if len(confidence) else 1.0,
                "regions": len(found["score"]),
                "suspect_pixels": int(found["pixels"].sum()),
                "score": float(found["score"].max(initial=0)),
            }
        )
    table = pl.concat(regions).sort("score", descending=True, maintain_order=True)
    return SuspectMasks(table, pl.DataFrame(images))


def _paired(dataset: SegmentationDataset, probabilities: Iterable[np.ndarray]) -> Iterable[tuple[int, np.ndarray]]:
    place = -1
    for place, of_image in enumerate(probabilities):
        if place >= len(dataset):
            break
        yield place, of_image
    if place + 1 != len(dataset):
        got = "more" if place >= len(dataset) else f"{place + 1}"
        raise DataError(f"{dataset.name}: got probabilities of {got} images; expected one for each of {len(dataset)}")


def _named(found: dict[str, np.ndarray], classes: tuple[str, ...], called: dict[str, int | str]) -> pl.DataFrame:
    names = pl.Series(classes, dtype=pl.String)
    table = pl.DataFrame(found).with_columns(
        *(names.gather(found[column]).alias(column) for column in ("label", "predicted"))
    )
    return table.select(*(pl.lit(value).alias(name) for name, value in called.items()), *_COLUMNS)


def _region(
    inside: np.ndarray, place: tuple[slice, slice], labels: np.ndarray, predicted: np.ndarray, margin: np.ndarray
) -> tuple[float, ...]:
    """The columns of the region that lies in a part of the image; inside: (h, w) bool."""
    rows, columns = place
    depth = float(np.max(np.asarray(distance_transform_edt(np.pad(inside, 1)))))
    mean = float(margin[place][inside].mean())
    first = np.unravel_index(int(inside.argmax()), inside.shape)
    kind = (int(labels[place][first]), int(predicted[place][first]))
    box = (columns.start, rows.start, columns.stop, rows.stop)
    return (*kind, *box, int(inside.sum()), depth, mean, mean * depth / (depth + HALF_DEPTH))


def _of_label(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(H, W) the probability of the label; of an ignored one that of class 0."""
    known = np.where(labels == IGNORED, 0, labels).astype(np.int64)
    return np.take_along_axis(probabilities, known[None], axis=0)[0]


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if probabilities.ndim != 3 or labels.shape != probabilities.shape[1:]:
        raise DataError(
            f"the labels have shape {labels.shape}, the probabilities {probabilities.shape}; expected (H, W) and "
            "(C, H, W): scale what was predicted to the size of the image, before its classes become probabilities"
        )
    num = len(probabilities)
    unknown = labels[(labels != IGNORED) & ((labels < 0) | (labels >= num))]
    if len(unknown):
        raise DataError(
            f"the label {unknown[0]} is no class; expected 0 to {num - 1}, or {IGNORED} where it is ignored"
        )
    total = probabilities.sum(axis=0)
    if not (probabilities.min(initial=0) >= -1e-3 and np.abs(total - 1).max(initial=0) < 1e-2):  # so of NaN too
        raise DataError(
            "the probabilities of a pixel's classes do not sum to 1, or some lie below 0; take the softmax of logits "
            "first"
        )
