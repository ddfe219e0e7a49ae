"""Images without masks: something to predict, and nothing to learn from or to measure on."""

from collections.abc import Sequence
from pathlib import Path

from hardmine.core.pixels import IGNORED
from hardmine.data.images import read_header
from hardmine.data.paths import images_below
from hardmine.data.problems import ProblemLog
from hardmine.data.segmentation.masks import PaintedMask
from hardmine.data.segmentation.records import SegmentationDataset, SegmentationRecord
from hardmine.errors import DataError

__all__ = ["open_pictures"]


def open_pictures(folder: Path, classes: Sequence[str]) -> SegmentationDataset:
    """The images below a folder, by folder and name, as one split "all"; every pixel of their masks is ignored.

    Raises: DataError: there is none that can be read.
    """
    report = ProblemLog(folder)
    found = (_record(number, file, report) for number, file in enumerate(sorted(images_below(folder)), start=1))
    records = [record for record in found if record is not None]
    return SegmentationDataset(folder.resolve().name, "all", classes, records, report.problems)


def _record(number: int, file: Path, report: ProblemLog) -> SegmentationRecord | None:
    try:
        header = read_header(file)
    except DataError as error:
        report.within(file).error("", f"the image is left out: {error}")
        return None
    width, height = header.shown_size
    return SegmentationRecord(number, file, PaintedMask((), width, height, IGNORED), width, height, header.orientation)
