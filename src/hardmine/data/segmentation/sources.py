"""What every layout of a segmentation data set offers once it was recognised, and what of it can be used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hardmine.data.entries import Recognised
from hardmine.data.images import read_header
from hardmine.data.problems import ProblemLog
from hardmine.data.segmentation.classes import Classes, Wanted
from hardmine.data.segmentation.masks import MaskFile
from hardmine.data.segmentation.records import SegmentationRecord
from hardmine.errors import DataError

__all__ = ["Asked", "SegmentationSource", "record_of_files"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of a data set. instances: masks number objects, and are of two classes."""

    classes: Wanted | None = None
    images: Path | None = None
    instances: bool = False


class SegmentationSource(Recognised, Protocol):
    """A segmentation data set that was recognised but not read yet."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # raises DataError where nothing says which

    def read(self, split: str, report_to: ProblemLog) -> list[SegmentationRecord]: ...


def record_of_files(
    number: int, image: Path, mask: Path, classes: Classes, report: ProblemLog
) -> SegmentationRecord | None:
    """The record of an image and its mask, of which only the headers are read; None: reported, and left out."""
    try:
        header, of_mask = read_header(image), read_header(mask)
    except DataError as error:
        report.error("", f"the image is left out: {error}")
        return None
    stored, shown, size = (header.width, header.height), header.shown_size, of_mask.shown_size
    if size not in (stored, shown):
        report.error(
            "",
            f"the image is left out: its mask '{mask}' is {_size(size)}, the image {_size(shown)}; expected one label "
            "for each pixel: scale the mask to the image, by nearest neighbour",
        )
        return None
    orientation = header.orientation if size == shown else 1
    if header.orientation != 1:
        how = (
            "the mask is taken as drawn on the turned picture"
            if size == shown
            else "which is not applied, as its mask has the size of the picture as stored"
        )
        report.warning("", f"it has EXIF orientation {header.orientation}: {how}; turn the file itself to be sure")
    source = MaskFile(mask, classes, of_mask.orientation)
    return SegmentationRecord(number, image, source, *size, orientation)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
