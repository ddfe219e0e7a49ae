"""Are boxes and classes what they are taken for? The commonest mistakes fit the format and ruin everything after it.

The surest predictions of some images are laid over their labels: of the labels, how many are met at IoU .5 with the
boxes as given, and how many if they were corners instead of sizes, centres, fractions, or pixels of a resized image?
Or if ids of images were the numbers that files are called by, or places in a list? Where labels are met, is the class
that of the label, or that of its neighbour in the list, or always another? If another reading explains the labels far
better than what was given, that reading is named, and nothing is mined.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from hardmine.data import DetectionDataset, ImageRecord
from hardmine.errors import DataError
from hardmine.predictions.found import BOX_FORMATS, to_corners

__all__ = ["OFFSETS", "Sample", "check_boxes", "check_classes", "check_images", "surest_on_labels"]

logger = logging.getLogger("hardmine")

MOST_PAIRS = 100_000
"""Predictions with a label of their image that are looked at: more would not make the answer surer."""
SURE_PER_LABEL, FEWEST_SURE = 2, 10
"""Of each image, so many predictions as it has labels times this are looked at, or so many: the surest."""
MET_IOU = 0.5
FEWEST_LABELS = 4
"""Labels that another reading must explain, so that it is no accident."""
LEAST_SHARE, TIMES_BETTER = 0.3, 3.0
"""Another reading is far better if it explains so much of the labels, and so many times as much as the one given."""
SIDES_PX = (224, 256, 300, 320, 384, 416, 448, 480, 512, 544, 600, 608, 640, 672, 704, 736, 768, 800, 832, 896, 960,
            1024, 1280, 1333, 1536)  # fmt: skip
"""To what sizes images are usually brought for a detector."""
SCALES = (0.25, 0.5, 2, 4)
PLAINLY, PLAINLY_BETTER = 0.8, 2.0
"""Where an order of classes explains so much of the labels, so many times is enough: one may be at its place."""
HARDLY, MANY_LABELS = 0.05, 20
"""If fewer of so many labels are met as given, that is told."""
CLEARLY = 0.1
"""By so much of the labels another order must explain more than ids moved by one, which is the simpler mistake."""
OFFSETS = (-1, 1)
"""By how much ids of classes are moved where a tool counts from 0 and another from 1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Each of some predictions with each label of its image. prediction: (P,) rows of the predictions.

    size: (P, 2) width and height of the image.  of: (K,) which of the P a pair has.  object: (K,) which of G labels.
    boxes: (G, 4) xyxy pixels.  labels: (G,).
    """

    prediction: np.ndarray
    size: np.ndarray
    of: np.ndarray
    object: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray

    def nearest(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(G,) which of the P predictions, with these corners (P, 4), overlaps each label most, and (G,) its IoU."""
        iou = _iou(corners[self.of], self.boxes[self.object])
        order = np.argsort(iou, kind="stable")
        best, best_iou = np.full(len(self.boxes), -1), np.zeros(len(self.boxes))
        best[self.object[order]], best_iou[self.object[order]] = self.of[order], iou[order]  # the last one stays
        return best, best_iou


def surest_on_labels(dataset: DetectionDataset, images: np.ndarray, scores: np.ndarray) -> Sample:
    """The surest predictions of images that have labels. images: (P,) places in the data set.  scores: (P,)."""
    order = np.lexsort((-scores, images))
    starts = np.searchsorted(images[order], np.arange(len(dataset.records) + 1))
    parts, num_pairs = [_Part.empty()], 0
    for place in _spread_out(np.flatnonzero(np.diff(starts))):
        part = _Part.of(dataset.records[place], order[starts[place] : starts[place + 1]])
        num_pairs += len(part.rows) * len(part.labels)
        if num_pairs > MOST_PAIRS:
            break
        parts.append(part)
    num_rows, num_labels = (np.array([len(getattr(part, name)) for part in parts]) for name in ("rows", "labels"))
    first_row, first_label = np.cumsum(num_rows) - num_rows, np.cumsum(num_labels) - num_labels
    pairs = list(zip(num_rows, num_labels, first_row, first_label, strict=True))
    return Sample(
        prediction=np.concatenate([part.rows for part in parts]),
        size=np.repeat([part.size for part in parts], num_rows, axis=0),
        of=np.concatenate([np.repeat(np.arange(p), g) + first for p, g, first, _ in pairs]),
        object=np.concatenate([np.tile(np.arange(g), p) + first for p, g, _, first in pairs]),
        boxes=np.concatenate([part.boxes for part in parts]).astype(float),
        labels=np.concatenate([part.labels for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Of one image: rows of its surest predictions, size, boxes and labels of its objects."""

    rows: np.ndarray
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray

    @classmethod
    def empty(cls) -> "_Part":
        return cls(np.zeros(0, dtype=int), (0, 0), np.zeros((0, 4)), np.zeros(0, dtype=int))

    @classmethod
    def of(cls, record: ImageRecord, rows: np.ndarray) -> "_Part":
        """rows: all of the image, the surest first."""
        is_object = ~record.is_crowd
        sure = rows[: max(FEWEST_SURE, SURE_PER_LABEL * int(is_object.sum()))]
        return cls(sure, (record.width, record.height), record.boxes[is_object], record.labels[is_object])


def _spread_out(places: np.ndarray) -> Iterator[int]:
    """All places, in an order whose every beginning is spread over the whole."""
    yield from np.random.default_rng(0).permutation(places).tolist()


def check_images(
    sample: Sample, others: Iterable[tuple[str, Sample]], boxes: np.ndarray, box_format: str, source: str
) -> None:
    """Are the predictions on the images that they are taken to be on?

    Args: others: what else the ids of images may mean, and the sample then; made only if it is needed.
        boxes: (P, 4) of all predictions.
    Raises: DataError: with ids that mean something else the boxes explain the labels far better.
    """
    given = _share_of_all(sample, boxes, box_format)
    for words, other in others if given * TIMES_BETTER < 1 else ():
        share = _share_of_all(other, boxes, box_format)
        if _is_far_better(share, given, len(other.boxes)):
            raise DataError(
                f"{source}: with image ids taken as {words} {share:.0%} of the labels are met, as given {given:.0%}; "
                f"write file_name beside the ids, or confirm that all is as given with --box-format {box_format}"
            )


def _share_of_all(sample: Sample, boxes: np.ndarray, box_format: str) -> float:
    share, _ = _share(sample, to_corners(boxes[sample.prediction], box_format, sample.size))
    return share


def check_boxes(sample: Sample, boxes: np.ndarray, box_format: str, source: str) -> None:
    """Are the boxes (P, 4) of the sample what they are taken for?

    Raises: DataError: another format, order or unit, or pixels of a resized image, explain the labels far better.
    """
    given, _ = _share(sample, to_corners(boxes, box_format, sample.size))
    if given * TIMES_BETTER >= 1:
        return
    shares = {name: _share(sample, corners) for name, corners in _other_readings(sample, boxes, box_format)}
    best = max(shares, key=lambda name: shares[name])
    share, _ = shares[best]
    if _is_far_better(share, given, len(sample.boxes)):
        remedy = f"give --box-format {best}" if best in BOX_FORMATS else "bring them to x, y in pixels of the images"
        raise DataError(
            f"{source}: boxes taken as {best} meet {share:.0%} of the labels, as given ({box_format}) "
            f"{given:.0%}; {remedy}, or confirm what they are with --box-format {box_format}"
        )
    if given < HARDLY and len(sample.boxes) >= MANY_LABELS:
        logger.warning(
            "%s: of %d labels %.0f%% are met at IoU %g by the surest predictions; are these of this data set?",
            *(source, len(sample.boxes), 100 * given, MET_IOU),
        )


def check_classes(sample: Sample, corners: np.ndarray, labels_with: Callable[[int], np.ndarray], source: str) -> None:
    """Are the classes of the sample's predictions what they are taken for?

    Args: corners: (P, 4).  labels_with: labels 0..C-1 of all predictions, if so much is added to each category id; -1
        where that is no class.
    Raises: DataError: with ids moved by one, or classes in another order, far more labels have the predicted class.
    """
    best, iou = sample.nearest(corners)
    rows, truth = sample.prediction[best[iou >= MET_IOU]], sample.labels[iou >= MET_IOU]
    if not len(truth):
        return
    given = float((labels_with(0)[rows] == truth).mean())
    shares = {offset: _share_moved(labels_with(offset), rows, truth) for offset in OFFSETS}
    offset = max(shares, key=lambda moved: shares[moved])
    reordered = _share_reordered(labels_with(0)[rows], truth)
    is_reordered = _is_far_better(
        reordered, given, len(truth), PLAINLY_BETTER if reordered >= PLAINLY else TIMES_BETTER
    )
    if is_reordered and reordered > shares[offset] + CLEARLY:
        raise DataError(
            f"{source}: {given:.0%} of the labels that are met have the predicted class, but {reordered:.0%} would if "
            "the classes were in another order; write the names of the classes (category) beside their ids, or confirm "
            "the ids with --category-offset=0"
        )
    if _is_far_better(shares[offset], given, len(truth)):
        raise DataError(
            f"{source}: with {offset:+d} on each category id {shares[offset]:.0%} of the labels that are met have the "
            f"predicted class, as given {given:.0%}; give --category-offset={offset}, or confirm the ids with "
            "--category-offset=0"
        )


def _share_moved(predicted: np.ndarray, rows: np.ndarray, truth: np.ndarray) -> float:
    """Share of the labels with the class of their rows; none if a class is unknown, of whatever prediction, or if these
    labels are of one class although several are frequent.
    """
    same = predicted[rows] == truth
    if (predicted < 0).any():
        return 0.0
    num_frequent = int((np.bincount(truth) >= FEWEST_LABELS).sum())
    return float(same.mean()) if len(np.unique(truth[same])) >= min(num_frequent, 2) else 0.0


def _share_reordered(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of the labels that several predicted classes explain, each standing for another of the labels' classes."""
    num = int(max(predicted.max(), truth.max())) + 1
    counts = np.zeros((num, num), dtype=int)
    np.add.at(counts, (predicted[predicted >= 0], truth[predicted >= 0]), 1)
    counts = counts[counts.max(axis=1) >= FEWEST_LABELS]
    meant = counts.argmax(axis=1)
    is_one_for_one = len(meant) > 1 and len(set(meant.tolist())) == len(meant)
    return float(counts.max(axis=1).sum() / len(truth)) if is_one_for_one else 0.0


def _other_readings(sample: Sample, boxes: np.ndarray, box_format: str) -> Iterator[tuple[str, np.ndarray]]:
    """Corners (P, 4) in every other format, order and unit, and where images were resized."""
    for other in BOX_FORMATS:
        if other != box_format:
            yield other, to_corners(boxes, other, sample.size)
        yield f"{other} with y before x", to_corners(boxes[:, [1, 0, 3, 2]], other, sample.size)
        if other.endswith("n"):
            yield f"{other[:-1]} in percent of the image", to_corners(boxes / 100, other, sample.size)
    if box_format.endswith("n"):
        return
    corners, longer = to_corners(boxes, box_format, sample.size), sample.size.max(axis=1, keepdims=True)
    for scale in SCALES:
        yield f"pixels of images scaled by {scale:g}", corners / scale
    for side in SIDES_PX:
        yield f"pixels of images stretched to {side}x{side}", corners * np.tile(sample.size / side, 2)
        yield f"pixels of images with a longer side of {side}", corners * (longer / side)
        yield (
            f"pixels of images with a shorter side of {side}",
            corners * (sample.size.min(axis=1, keepdims=True) / side),
        )
        border = (side - sample.size * side / longer) / 2
        yield f"pixels of images padded to {side}x{side}", (corners - np.tile(border, 2)) * (longer / side)


def _share(sample: Sample, corners: np.ndarray) -> tuple[float, float]:
    """Of the labels, the share that is met, and how well all are."""
    _, iou = sample.nearest(corners)
    return (float((iou >= MET_IOU).mean()), float(iou.mean())) if len(iou) else (0.0, 0.0)


def _is_far_better(share: float, given: float, num: int, times: float = TIMES_BETTER) -> bool:
    return share * num >= FEWEST_LABELS and share >= max(LEAST_SHARE, times * given)


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of boxes (K, 4) and others (K, 4) side by side, (K,); 0 where one has no area."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = (high - low).clip(min=0).prod(axis=1)
    areas = [(some[:, 2:] - some[:, :2]).clip(min=0).prod(axis=1) for some in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
