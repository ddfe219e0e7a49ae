"""Is this segmentation data set usable? Which classes have how many pixels, and what is wrong, record by record.

Opening reads headers only; here every image and every mask is decoded. It never raises for a fault of a record.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardmine.core.pixels import IGNORED
from hardmine.data.problems import Checked, Problem, ProblemLog, errors_first
from hardmine.data.scenes import SCENE_SPLITS, SCENES
from hardmine.data.segmentation.classes import Wanted
from hardmine.data.segmentation.opening import find_segmentation, open_segmentation, read_segmentation
from hardmine.data.segmentation.records import SegmentationDataset
from hardmine.data.splits import choose_split
from hardmine.errors import DataError

__all__ = ["SegmentationCheck", "SegmentationSplit", "check_segmentation"]


@dataclass(frozen=True, slots=True)
class SegmentationSplit:
    """What one split holds, of what can be used."""

    split: str
    num_images: int
    pixels_per_class: dict[str, int]
    images_per_class: dict[str, int]
    num_ignored: int  # pixels
    image_sizes: dict[tuple[int, int], int]  # (width, height) -> images, most frequent first

    @property
    def num_pixels(self) -> int:
        """Of all classes, without the ignored."""
        return sum(self.pixels_per_class.values())

    @property
    def ignored_share(self) -> float:
        """Of all pixels; 0 where there are none."""
        return self.num_ignored / max(1, self.num_ignored + self.num_pixels)


@dataclass(frozen=True, slots=True)
class SegmentationCheck(Checked[SegmentationSplit]):
    """The answer of `check_segmentation`."""

    def nothing_to_learn(self, learnt: Sequence[SegmentationSplit]) -> str | None:
        present = {name for split in learnt for name, count in split.pixels_per_class.items() if count}
        if len(present) > 1:
            return None
        where = ", ".join(split.split for split in learnt)
        return f"no two classes have a pixel in {where}: only {', '.join(present) or 'ignored ones'}"


def check_segmentation(
    data: str | Path,
    split: str | None = None,
    *,
    classes: Wanted | Path | str | None = None,
    images: Path | None = None,
    instances: bool = False,
) -> SegmentationCheck:
    """Reads the data set (one split, or all) and decodes every image and mask; arguments as of `open_segmentation`.

    Raises: DataError: there is no data set of a known form, no such split, or nothing that says the classes; faults of
        records are in the report.
    """
    if data == SCENES:
        format_, path, splits = "generated", Path(SCENES), SCENE_SPLITS
        read: Callable[[str], SegmentationDataset] = lambda name: open_segmentation(SCENES, name)  # noqa: E731
    else:
        source = find_segmentation(data, classes=classes, images=images, instances=instances)
        format_, path, splits, _ = source.format, source.path, source.splits, source.classes
        read = lambda name: read_segmentation(source, name)  # noqa: E731
    names = splits if split is None else (choose_split(split, None, splits, str(data)),)
    problems: list[Problem] = []
    reports = [_check_split(path, name, read, problems) for name in names]
    return SegmentationCheck(str(data), format_, tuple(reports), errors_first(problems))


def _check_split(
    path: Path, name: str, read: Callable[[str], SegmentationDataset], problems: list[Problem]
) -> SegmentationSplit:
    try:
        dataset = read(name)
    except DataError as error:
        problems.append(Problem("error", path, f"split {name!r}", str(error)))
        return SegmentationSplit(name, 0, {}, {}, 0, {})
    problems += dataset.problems
    counts, sizes = _decode(dataset, problems)
    report = _summary(dataset, counts, sizes)
    _report_absent(report, ProblemLog(path, problems))
    return report


def _decode(dataset: SegmentationDataset, problems: list[Problem]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Pixels by label (I, 256) of the images that can be decoded, and their sizes."""
    counts, sizes = [np.zeros((0, 256), dtype=np.int64)], []
    for place, record in enumerate(dataset.records):
        try:
            dataset.pixels(place)
            labels = dataset.mask(place)
        except DataError as error:
            file = record.file or Path(dataset.name)
            ProblemLog(file, problems).error("", f"the image is left out: {error}")
            continue
        counts.append(np.bincount(labels.reshape(-1), minlength=256)[None])
        sizes.append((record.width, record.height))
    return np.concatenate(counts), sizes


def _summary(dataset: SegmentationDataset, counts: np.ndarray, sizes: Sequence[tuple[int, int]]) -> SegmentationSplit:
    pixels, images = counts.sum(axis=0).tolist(), (counts > 0).sum(axis=0).tolist()
    return SegmentationSplit(
        split=dataset.split,
        num_images=len(counts),
        pixels_per_class=dict(zip(dataset.classes, pixels, strict=False)),
        images_per_class=dict(zip(dataset.classes, images, strict=False)),
        num_ignored=pixels[IGNORED] if len(dataset.classes) <= IGNORED else 0,
        image_sizes=dict(Counter(sizes).most_common()),
    )


def _report_absent(report: SegmentationSplit, log: ProblemLog) -> None:
    absent = [name for name, count in report.pixels_per_class.items() if not count] if report.num_images else []
    if absent:
        black_and_white = len(report.pixels_per_class) == 2 and report.num_ignored > 0
        hint = f"; if 255 is meant to be {absent[-1]!r} and not ignored, say so (classes={{255: name, ...}})"
        log.warning(
            f"split {report.split!r}",
            f"no pixel of {', '.join(absent)}; expected some of each class{hint if black_and_white else ''}",
        )
