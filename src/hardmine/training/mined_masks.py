"""What a mined folder of masks says to the next round: how often each image is drawn, which regions do not count.

Images are found again by the names of their files, and regions by where they were: `regions/` of the mined folder has
the number of the region of each pixel. A mask that changed there since is refused.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hardmine.core.pixels import IGNORED
from hardmine.data import SegmentationDataset
from hardmine.data.images import load_values
from hardmine.errors import DataError
from hardmine.training.batches import are_weights
from hardmine.training.decisions import DECISIONS_SUFFIX, read_decisions
from hardmine.training.mined import read_columns, refuse_other_task, rows_of_images

__all__ = ["WithoutSuspects", "mask_image_weights", "treat_suspect_regions"]

logger = logging.getLogger("hardmine")

IMAGE = {"image_id": pl.Int64, "file_name": pl.String, "width": pl.Int64, "height": pl.Int64, "picture": pl.String}
REGION = {"image_id": pl.Int64, "number": pl.Int64, "label": pl.String, "is_suspect": pl.Boolean}


def mask_image_weights(folder: Path | str, dataset: SegmentationDataset) -> np.ndarray:
    """The weight of each image of a data set, (n,) float64, from `images.parquet` in a folder of `hardmine mine`.

    Raises: DataError: there is no such table, an image of the data set is not in it or is another, or weights that are
        not finite, are negative or all 0.
    """
    file = Path(folder) / "images.parquet"
    weights = np.array([row["weight"] for row in _mined_images(file, dataset, {"weight": pl.Float64})], dtype=float)
    if not are_weights(weights):
        raise DataError(f"{file}: weights must be finite, at least 0 and not all 0; mine again")
    return weights


def treat_suspect_regions(folder: Path | str, dataset: SegmentationDataset, how: str) -> SegmentationDataset:
    """The data set with suspect regions ignored, so that nothing is learnt there.

    Args: how: "keep": all labels stay as they are; "drop": those that `regions.parquet` calls suspects are ignored. Or
        the file of decisions, see `read_decisions`: what was accepted is ignored, all else stays.
    Raises: DataError: there are no such tables, images in the data set that are not in them, or as `read_decisions`. Of
        masks when they are read: one that is not as it was mined.
    """
    if how == "keep":
        return dataset
    folder = Path(folder)
    refuse_other_task(folder, of_masks=True)
    regions = read_columns(folder / "regions.parquet", REGION).with_row_index("row")
    if how.endswith(DECISIONS_SUFFIX):
        accepted = [row for row, is_accepted in read_decisions(how, folder).items() if is_accepted]
        regions = regions.filter(pl.col("row").is_in(accepted))
    else:
        regions = regions.filter("is_suspect")
    images = _mined_images(folder / "images.parquet", dataset)
    by_image = {key[0]: part for key, part in regions.partition_by("image_id", as_dict=True).items()}
    chosen = [_dropped(by_image.get(row["image_id"]), row["picture"], dataset.classes, folder) for row in images]
    logger.info("%s: %d suspect regions are ignored", folder, sum(len(of.labels) for of in chosen if of is not None))
    return WithoutSuspects(dataset, folder, chosen)


@dataclass(frozen=True, slots=True)
class _Dropped:
    """Regions of an image: number -> label.  picture: the name of the picture that says where they are."""

    picture: str
    labels: Mapping[int, int]


def _dropped(regions: pl.DataFrame | None, picture: str, classes: Sequence[str], folder: Path) -> _Dropped | None:
    if regions is None:
        return None
    if Path(picture).name != picture:
        raise DataError(f"{folder / 'images.parquet'}: {picture!r} is no name of a picture; mine again")
    unknown = set(regions["label"]) - set(classes)
    if unknown:
        raise DataError(
            f"{folder / 'regions.parquet'}: the class {min(unknown)!r} is none of {', '.join(classes)}; mine again"
        )
    return _Dropped(picture, {row["number"]: classes.index(row["label"]) for row in regions.iter_rows(named=True)})


class WithoutSuspects(SegmentationDataset):
    """A data set with some regions ignored as its masks are read; all else stays with `parent`."""

    def __init__(self, parent: SegmentationDataset, mined: Path, dropped: Sequence[_Dropped | None]):
        self.parent, self.mined, self.dropped = parent, mined, tuple(dropped)
        super().__init__(parent.name, parent.split, parent.classes, parent.records, parent.problems)

    def pixels(self, index: int) -> np.ndarray:
        return self.parent.pixels(index)

    def mask(self, index: int) -> np.ndarray:
        """The labels (H, W) uint8. Raises: DataError: as of the parent, or a region has another label than mined."""
        labels, dropped = self.parent.mask(index), self.dropped[index]
        if dropped is None:
            return labels
        file = self.mined / "regions" / dropped.picture
        numbers = load_values(file)
        if numbers.shape != labels.shape:
            raise DataError(f"{file} is {numbers.shape}, the mask {labels.shape}; mine again")
        expected = np.full(max(int(numbers.max(initial=0)), *dropped.labels) + 1, -1)
        expected[list(dropped.labels)] = list(dropped.labels.values())
        label = expected[numbers]
        if ((label >= 0) & (labels != label) & (labels != IGNORED)).any():
            called = self.file_names[index] or f"image id {self.records[index].image_id}"
            raise DataError(f"{self.mined}: the mask of {called} is not as it was mined; mine again")
        return np.where(label >= 0, np.uint8(IGNORED), labels)


def _mined_images(
    file: Path, dataset: SegmentationDataset, more: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The row of `images.parquet` of each image of the data set, by file name, of generated ones by their id."""
    refuse_other_task(file.parent, of_masks=True)
    table = read_columns(file, {**IMAGE, **(more or {})})
    rows = rows_of_images(file, table, dataset, dataset.folder is not None, [True] * len(dataset))
    return [row for row in rows if row is not None]
