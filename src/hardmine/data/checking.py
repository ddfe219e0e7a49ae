"""Is this data set usable? What was found in it, and what is wrong, record by record.

Opening a data set reads headers only; `check` also decodes every image, so that a truncated file is found here and not
in the third epoch. It never raises for a fault of a record: the report is the answer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardmine.data.entries import Reading, Source, build_records
from hardmine.data.images import load_rgb, read_header
from hardmine.data.opening import find_source, open_dataset
from hardmine.data.problems import Checked, Problem, ProblemLog, errors_first
from hardmine.data.records import ImageRecord
from hardmine.data.scenes import SCENE_SPLITS, SCENES
from hardmine.data.splits import choose_split
from hardmine.errors import DataError

__all__ = ["BoxSizes", "CheckReport", "SplitReport", "check"]

_LONGEST_SIDE = 1333  # of an image with a shorter side of 800, as torchvision's detectors resize it
_COCO_AREAS = (32**2, 96**2)  # COCO's limits of small and medium, in square pixels


@dataclass(frozen=True, slots=True)
class BoxSizes:
    """How large the boxes of a split are: COCO's three groups by area, and the square root of area in pixels."""

    small: int
    medium: int
    large: int
    quantiles_px: tuple[float, ...]  # smallest, 25 %, median, 75 %, largest; empty without boxes


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What one split holds, of what can be used."""

    split: str
    num_images: int
    num_background: int  # images without any object, crowd included
    boxes_per_class: dict[str, int]  # without crowd
    num_crowd: int  # crowd regions and difficult objects
    box_sizes: BoxSizes  # without crowd
    image_sizes: dict[tuple[int, int], int]  # (width, height) -> images, most frequent first
    image_modes: dict[str, int]  # Pillow's name of the pixel format -> images

    @property
    def num_boxes(self) -> int:
        return sum(self.boxes_per_class.values())


@dataclass(frozen=True, slots=True)
class CheckReport(Checked[SplitReport]):
    """The answer of `check`."""

    def nothing_to_learn(self, learnt: Sequence[SplitReport]) -> str | None:
        if any(split.num_boxes for split in learnt):
            return None
        return f"no object in {', '.join(split.split for split in learnt)}"


def check(
    data: str | Path,
    split: str | None = None,
    *,
    images: Path | None = None,
    allow_unlabelled: bool = False,
    image_size: int = 800,
) -> CheckReport:
    """Reads the data set (one split, or all) and decodes every image.

    Args: image_size: the shorter side in pixels to which a detector will bring the images; boxes that vanish there are
        named. The other arguments are those of `open_dataset`.
    Raises: DataError: there is no data set of a known format, or no such split; faults of records are in the report.
    """
    if data == SCENES:
        names = SCENE_SPLITS if split is None else (choose_split(split, None, SCENE_SPLITS, SCENES),)
        opened = [open_dataset(SCENES, name) for name in names]
        reports = [_summary(d.split, d.classes, d.records, Counter({"RGB": len(d)})) for d in opened]
        return CheckReport(SCENES, "generated", tuple(reports), ())
    source, reading = find_source(data, images), Reading(images, allow_unlabelled=allow_unlabelled)
    names = source.splits if split is None else (choose_split(split, None, source.splits, str(data)),)
    reports, problems = [], []
    for name in names:
        try:
            reports.append(_check_split(source, name, reading, image_size, problems))
        except DataError as error:
            problems.append(Problem("error", source.path, f"split {name!r}", str(error)))
            reports.append(_summary(name, (), [], Counter()))
    return CheckReport(str(data), source.format, tuple(reports), errors_first(problems))


def _check_split(source: Source, name: str, reading: Reading, image_size: int, problems: list[Problem]) -> SplitReport:
    """Raises: DataError: the split as a whole cannot be read."""
    entries = source.read(name, reading)
    records, found = build_records(entries, reading=reading)
    usable, modes = _decodable(records, found)
    problems += found
    for record in usable:
        _report_vanishing(record, image_size, ProblemLog(record.file or entries.images[0].source, problems))
    return _summary(name, tuple(entries.categories.values()), usable, modes)


def _decodable(records: list[ImageRecord], problems: list[Problem]) -> tuple[list[ImageRecord], Counter[str]]:
    usable, modes = [], Counter[str]()
    for record in records:
        if record.file is None:
            continue
        report = ProblemLog(record.file, problems)
        mode = read_header(record.file).mode
        try:
            load_rgb(record.file, record.orientation)
        except DataError as error:
            report.error("", str(error).removeprefix(f"{record.file} "))
            continue
        if mode.startswith("I"):
            report.warning(
                "", "16-bit pixels: the high byte is used; if it holds fewer bits, spread them to 8 yourself"
            )
        usable.append(record)
        modes[mode] += 1
    return usable, modes


def _report_vanishing(record: ImageRecord, image_size: int, report: ProblemLog) -> None:
    """Names the boxes of which no whole pixel is left once the image has that shorter side, or the longest longer."""
    sides = record.width, record.height
    scale = min(image_size / min(sides), _LONGEST_SIDE * image_size / 800 / max(sides))
    left = (record.boxes[:, 2:] - record.boxes[:, :2]) * scale
    for place in np.flatnonzero((left.min(axis=1, initial=np.inf) < 1) & ~record.is_crowd).tolist():
        box = ", ".join(f"{side:g}" for side in record.boxes[place])
        report.warning(
            f"box ({box})",
            f"{left[place][0]:.2g} x {left[place][1]:.2g} pixels are left of it in an image with a shorter side of "
            f"{image_size}; raise --image-size, or cut the image into tiles",
        )


def _summary(split: str, classes: tuple[str, ...], records: Sequence[ImageRecord], modes: Counter[str]) -> SplitReport:
    is_crowd = np.concatenate([np.zeros(0, bool), *(record.is_crowd for record in records)])
    labels = np.concatenate([np.zeros(0, np.int64), *(record.labels for record in records)])[~is_crowd]
    areas = np.concatenate([np.zeros(0), *(record.object_areas() for record in records)])[~is_crowd]
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    return SplitReport(
        split=split,
        num_images=len(records),
        num_background=sum(len(record.boxes) == 0 for record in records),
        boxes_per_class=dict(zip(classes, counts, strict=True)),
        num_crowd=int(is_crowd.sum()),
        box_sizes=_box_sizes(areas),
        image_sizes=dict(Counter((record.width, record.height) for record in records).most_common()),
        image_modes=dict(modes.most_common()),
    )


def _box_sizes(areas: np.ndarray) -> BoxSizes:
    small, medium, large = np.bincount(np.digitize(areas, _COCO_AREAS), minlength=3).tolist()
    quantiles = np.quantile(np.sqrt(areas), (0, 0.25, 0.5, 0.75, 1)).tolist() if areas.size else ()
    return BoxSizes(small, medium, large, tuple(quantiles))
