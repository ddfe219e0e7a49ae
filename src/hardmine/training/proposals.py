"""Where the proposals of a detector without an RPN come from: a file, or selective search, whose results are kept.

Kept they are in `~/.cache/hardmine/proposals` (the environment variable HARDMINE_CACHE names another folder than
`~/.cache/hardmine`), a Parquet file an image, under a name made of what the image is. So all runs on a data set share
them, whatever its splits and folds, a search that was stopped goes on, and nothing is written beside the data.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from hardmine.core.boxes import SIDES
from hardmine.data import DerivedDataset, DetectionDataset
from hardmine.data.parquet import reading
from hardmine.data.selective_search import find_ximgproc, selective_search
from hardmine.errors import ConfigError, DataError, RunError, what_failed
from hardmine.files.writing import write_atomically
from hardmine.launch import num_started, rank
from hardmine.predictions import proposals_in
from hardmine.training.progress import watch_work

__all__ = ["SEARCHES", "WithProposals", "cache_folder", "with_proposals"]

logger = logging.getLogger("hardmine")

SEARCHES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"selective_search": selective_search}
VERSION = 1
"""Of what is kept: another one where a search gives other boxes than before."""
NO_EDGE_BOXES = (
    "edge_boxes needs a model of edges, which no package has; run EdgeBoxes where you have it and give its boxes as a "
    "file (Parquet or COCO results), or take selective_search"
)


class WithProposals(DerivedDataset):
    """A data set whose targets also have `proposals` (P, 4). read: gives those of an image by its place."""

    def __init__(self, dataset: DetectionDataset, read: Callable[[int], np.ndarray]):
        super().__init__(dataset, dataset.split, range(len(dataset)), dataset.records)
        self._read = read

    def proposals(self, index: int) -> np.ndarray:
        return self._read(index)


def with_proposals(dataset: DetectionDataset, source: str | None) -> DetectionDataset:
    """The data set with proposals: "selective_search", or a file of them; as it is where there is no source.

    A file is Parquet (image_id or file_name, x1, y1, x2, y2, score; no class needed), or anything else that predictions
    are read from; it may have other images, too. Searching is done at once, by as many threads as there are cores.

    Raises: ConfigError: a source that cannot be had.  DataError: a file that cannot be read, or has none of the images.
        RunError: what was found cannot be kept.
    """
    if source is None:
        return dataset
    if source == "edge_boxes":
        raise ConfigError(NO_EDGE_BOXES)
    if source in SEARCHES:
        return WithProposals(dataset, _searched(dataset, source))
    if not Path(source).exists():
        raise ConfigError(f"proposals {source!r}: expected {', '.join(SEARCHES)} or the path of an existing file")
    return WithProposals(dataset, _of_file(dataset, Path(source)).__getitem__)


def cache_folder() -> Path:
    """Where this project keeps what it would have to compute again."""
    own = os.environ.get("HARDMINE_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardmine"


def _of_file(dataset: DetectionDataset, path: Path) -> Sequence[np.ndarray]:
    """(P, 4) float32 of each image, of the highest score first."""
    found = proposals_in(path, dataset)
    lacking = sum(not len(boxes) for boxes in found)
    if lacking == len(dataset):
        raise DataError(f"{path}: no proposals for any image of {dataset.name}, split {dataset.split!r}")
    if lacking:
        logger.warning("%s has no proposals for %d of %d images (%s)", path, lacking, len(dataset), dataset.split)
    return found


def _searched(dataset: DetectionDataset, search: str) -> Callable[[int], np.ndarray]:
    """Searches all images that were not searched before, and says how to read what was found in one."""
    files = [_kept_in(dataset, place, search) for place in range(len(dataset))]
    places = _in_turn([place for place, file in enumerate(files) if not file.exists()])
    if places:
        find_ximgproc()

    def find(place: int) -> None:
        if not files[place].exists():  # another process may have been here
            _keep(files[place], SEARCHES[search](dataset.pixels(place)))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in watch_work(_finished(threads, find, places), len(places), search.replace("_", " ")):
            pass
    return lambda place: _read(files[place])


def _finished(threads: ThreadPoolExecutor, work: Callable[[int], None], places: Sequence[int]) -> Iterator[None]:
    try:
        yield from threads.map(work, places)
    except BaseException:
        threads.shutdown(wait=False, cancel_futures=True)
        raise


def _in_turn(places: list[int]) -> list[int]:
    """Each of several processes starts elsewhere, so that all come to their end together."""
    start = len(places) * rank() // num_started()
    return places[start:] + places[:start]


def _kept_in(dataset: DetectionDataset, place: int, search: str) -> Path:
    record = dataset.records[place]
    if record.file is None:
        what = sha256(dataset.pixels(place).tobytes()).hexdigest()
    else:
        facts = record.file.stat()
        what = f"{record.file.name}, {facts.st_size}, {facts.st_mtime_ns}, {record.orientation}"
    name = sha256(f"{VERSION}, {what}, {record.width}x{record.height}".encode()).hexdigest()[:32]
    return cache_folder() / "proposals" / search / name[:2] / f"{name}.parquet"


def _keep(file: Path, boxes: np.ndarray) -> None:
    stream = BytesIO()
    pl.DataFrame(dict(zip(SIDES, boxes.T, strict=True))).write_parquet(stream)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make {file.parent}: {what_failed(error)}; set HARDMINE_CACHE to a folder") from error
    write_atomically(file, stream.getvalue())


def _read(file: Path) -> np.ndarray:
    with reading(file):
        return pl.read_parquet(file).select(SIDES).to_numpy().astype(np.float32)
