"""What a folder of `hardmine mine` says of the images that a framework trains on: how often each should be drawn."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import polars as pl
import torch
from torch import Tensor
from torch.utils.data import Sampler

from hardmine.errors import DataError
from hardmine.files.reading import check_regular

__all__ = ["DrawnImages", "weights_of_files"]


def weights_of_files(folder: Path | str, files: Sequence[str]) -> Tensor:
    """The weight of each image file, (n,) float64, from `images.parquet` in the folder.

    Its names are paths below some folder: a file is the one with whose path its own ends.

    Raises: DataError: there is no such table, an image is not in it, two files are the same of it, or weights that are
        not finite, are negative or all 0.
    """
    table = Path(folder) / "images.parquet"
    by_name = _read(table)
    names = [_name_of(file, by_name) for file in files]
    seen: dict[str, str] = {}
    for file, name in zip(files, names, strict=True):
        if name is None:
            raise DataError(f"{table}: no image {file}; mine the images that are trained on, again if some were added")
        if name in seen:
            raise DataError(f"{table}: {name} may be {seen[name]} or {file}; mine the images that are trained on")
        seen[name] = file
    weights = torch.tensor([by_name[name] for name in seen], dtype=torch.float64)
    if not (weights.isfinite() & (weights >= 0)).all() or not weights.any():
        raise DataError(f"{table}: weights must be finite, at least 0 and not all 0; mine again")
    return weights


def _read(table: Path) -> dict[str, float]:
    if table.exists():
        check_regular(table)
    try:
        rows = pl.read_parquet(table).select(pl.col("file_name").cast(pl.String), pl.col("weight").cast(pl.Float64))
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{table}: cannot be read ({reason}); give the folder that `hardmine mine` wrote") from error
    return {name: float("nan") if weight is None else weight for name, weight in rows.iter_rows() if name}


def _name_of(file: str, known: dict[str, float]) -> str | None:
    """The longest end of the path that is known."""
    parts = PurePath(file).parts
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in (PurePath(file).as_posix(), *ends) if end in known), None)


class DrawnImages(Sampler[int]):
    """Indices of images, drawn with replacement as often as their weights say.

    All processes draw the same order, and each takes its part of it. Every pass is another draw: that of the next
    epoch, or of the one that `set_epoch` names.

    Args: weights: (n,) at least 0.  num: draws of this process.
    """

    def __init__(self, weights: Tensor, num: int, seed: int = 0, *, rank: int = 0, num_processes: int = 1) -> None:
        self.weights, self.num, self.seed = weights, num, seed
        self.rank, self.num_processes, self.epoch = rank, num_processes, 0

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self.seed + 1) * 1_000_003 + self.epoch)
        self.epoch += 1
        order = torch.multinomial(self.weights, self.num * self.num_processes, True, generator=generator)
        yield from order[self.rank :: self.num_processes].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Makes the next pass that of an epoch, counted from 0."""
        self.epoch = epoch
