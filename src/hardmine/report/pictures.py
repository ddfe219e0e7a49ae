"""Crops around examples and smaller copies of the whole images, each image opened once.

Pillow lets go of Python's lock while it decodes, scales and encodes, so threads are enough. JPEG is written in a fifth
of the time that WebP takes, at twice the size: of 10,000 crops 30 MB.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hardmine.data import DetectionDataset, open_dataset
from hardmine.data.images import load_rgb, read_header
from hardmine.errors import DataError, HardmineError

__all__ = ["CROPS", "CROP_SIDE", "WHOLE", "FolderOfImages", "Generated", "Source", "Wanted", "cut_pictures", "window"]

logger = logging.getLogger("hardmine")

Box = Sequence[float]
CROPS, WHOLE = "crops", "images"
CROP_SIDE, WHOLE_SIDE = 224, 1280
"""Pixels of the longer side, at most; nothing is made larger."""
LEAST_WINDOW, CONTEXT = 48, 1.7
"""A crop has so many pixels of the image at least, and its side is so many times that of the boxes."""
QUALITY = 82
MOST_THREADS = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is cut from one image.  crops: number of the example, and (x, y, width, height) in whole pixels."""

    number: int
    image_id: int
    file_name: str
    size: tuple[int, int]
    crops: Sequence[tuple[int, tuple[int, int, int, int]]]


class Source(Protocol):
    """Where pixels come from."""

    def pixels(self, wanted: Wanted) -> np.ndarray:
        """(H, W, 3) uint8 of the image. Raises: DataError: it is not there, or not an image."""
        ...


@dataclass(frozen=True, slots=True)
class FolderOfImages:
    """Images below a folder, by their names."""

    folder: Path

    def pixels(self, wanted: Wanted) -> np.ndarray:
        name = PurePosixPath(wanted.file_name)
        if not wanted.file_name or name.is_absolute() or ".." in name.parts:
            raise DataError(f"{wanted.file_name!r} is no file below {self.folder}")
        file = self.folder / name
        return load_rgb(file, read_header(file).orientation)


@dataclass(frozen=True)
class Generated:
    """The built-in scenes of a split."""

    split: str

    @cached_property
    def _dataset(self) -> DetectionDataset:
        return open_dataset("scenes", self.split)

    @cached_property
    def _place(self) -> dict[int, int]:
        return {record.image_id: place for place, record in enumerate(self._dataset.records)}

    def pixels(self, wanted: Wanted) -> np.ndarray:
        if wanted.image_id not in self._place:
            raise DataError(f"the scenes of split {self.split!r} have no image {wanted.image_id}")
        return self._dataset.pixels(self._place[wanted.image_id])


def window(boxes: Iterable[Box], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """What to cut around boxes (x1, y1, x2, y2): a square with some of what is around, inside of the image.

    Returns x, y, width, height in whole pixels; less than a square where the image is narrower.
    """
    corners = np.array(list(boxes), dtype=float).reshape(-1, 4)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = max(LEAST_WINDOW, CONTEXT * float((high - low).max()))
    extent = np.maximum(1, np.minimum(np.ceil(side), size)).astype(int)
    start = np.clip(np.round((low + high) / 2 - extent / 2), 0, np.array(size) - extent).astype(int)
    return (int(start[0]), int(start[1]), int(extent[0]), int(extent[1]))


def cut_pictures(wanted: Sequence[Wanted], source: Source, folder: Path) -> dict[int, str]:
    """Writes `crops/EXAMPLE.jpg` and `images/IMAGE.jpg` into a folder; returns what is wrong, by number of the image.

    Raises: OSError: the folder cannot be written.
    """
    for name in (CROPS, WHOLE):
        (folder / name).mkdir(parents=True, exist_ok=True)
    wrong: dict[int, str] = {}
    pool = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))
    try:
        futures = {pool.submit(_cut, of, source, folder): of for of in wanted}
        for future in _watched(futures, len(wanted)):
            if (error := future.result()) is not None:
                wrong[futures[future].number] = error
    finally:  # an interruption too: what has not begun is not waited for
        pool.shutdown(wait=True, cancel_futures=True)
    wrong = dict(sorted(wrong.items()))
    if wrong:
        said = "pictures: %d of %d images are grey fields on the page; the first: %s; --images says where images are"
        logger.warning(said, len(wrong), len(wanted), next(iter(wrong.values())))
    return wrong


def _cut(wanted: Wanted, source: Source, folder: Path) -> str | None:
    try:
        pixels = source.pixels(wanted)
    except HardmineError as error:
        return str(error)
    if pixels.shape[:2] != wanted.size[::-1]:
        found = f"{pixels.shape[1]}x{pixels.shape[0]}"
        return f"{wanted.file_name} is {found}, expected {wanted.size[0]}x{wanted.size[1]} as when it was mined"
    for number, (x, y, width, height) in wanted.crops:
        _save(pixels[y : y + height, x : x + width], CROP_SIDE, folder / CROPS / f"{number}.jpg")
    _save(pixels, WHOLE_SIDE, folder / WHOLE / f"{wanted.number}.jpg")
    return None


def _save(pixels: np.ndarray, side: int, file: Path) -> None:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    image.save(file, "JPEG", quality=QUALITY)


def _watched(futures: Iterable[Future[str | None]], total: int) -> Iterator[Future[str | None]]:
    """Passes on what is done: a bar on a terminal, elsewhere a log line each tenth."""
    console = Console(stderr=True)
    columns = TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task("pictures", total=total)
        for number, future in enumerate(as_completed(futures), start=1):
            yield future
            bars.advance(task)
            if not console.is_terminal and 10 * number // total > 10 * (number - 1) // total:
                logger.info("pictures: %d of %d images", number, total)
