"""The suspect regions of mined masks as a gallery: examples, the contours around them, and the maps of what is hard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hardmine.core.pixels import ARROW, IGNORED
from hardmine.data.images import load_values
from hardmine.data.parquet import reading
from hardmine.errors import ConfigError, DataError
from hardmine.report.examples import LABEL_BOX, Examples, fingerprint, in_columns
from hardmine.report.gallery import Gallery, gallery_of
from hardmine.report.outlines import contours, outline
from hardmine.report.pictures import CROP_SIDE, Wanted
from hardmine.tables.columns import SIDES

__all__ = ["HardnessMaps", "mask_gallery_of", "read_mask_examples"]


@dataclass(frozen=True, slots=True)
class HardnessMaps:
    """The maps of what is hard, by image id."""

    folder: Path
    pictures: Mapping[int, str]

    def pixels(self, wanted: Wanted) -> np.ndarray:
        """(H, W, 3) uint8. Raises: DataError: it is not there, or not an image."""
        grey = load_values(self.folder / "hardness" / self.pictures[wanted.image_id])
        return np.repeat(grey[..., None], 3, axis=2)


def read_mask_examples(mined: Path, most: int) -> tuple[Examples, HardnessMaps]:
    """The most suspect regions, so many at most, and the maps of their images.

    Raises: ConfigError: none are wanted.  DataError: a table cannot be read, or is not one of `hardmine mine`.
    """
    if most < 1:
        raise ConfigError(f"most is {most}; expected at least 1 example")
    file = mined / "regions.parquet"
    try:
        with reading(mined):
            scanned = pl.scan_parquet(file, glob=False).with_row_index("row")
            kind = pl.concat_str("label", pl.lit(ARROW), "predicted").alias("kind")
            counted = scanned.group_by(kind).len().sort("len", "kind", descending=[True, False]).collect()
            rows = scanned.with_columns(kind).head(most).collect()
            images = pl.read_parquet(mined / "images.parquet").join(rows, on="image_id", how="semi")
            images = images.select("image_id", "file_name", "width", "height", "picture")
    except DataError as error:
        raise DataError(f"{mined}: {error}; mine again") from error
    totals = dict(counted.iter_rows())
    order = pl.col("kind").replace_strict(list(totals), list(range(len(totals))), return_dtype=pl.Int64)
    rows = _in_words(rows.sort(order, maintain_order=True))
    nothing = pl.DataFrame(schema={"image_id": pl.Int64, "category": pl.String, **dict.fromkeys(SIDES, pl.Float64)})
    maps = HardnessMaps(mined, dict(images.select("image_id", "picture").iter_rows()))
    return Examples(rows, images.drop("picture"), nothing, nothing, totals, fingerprint(file)), maps


def _in_words(rows: pl.DataFrame) -> pl.DataFrame:
    said = pl.format("{} px, depth {}", "pixels", pl.col("depth").round(1))
    named = rows.select(
        "kind", "row", "image_id", category="label", found_category="predicted", value="score", why=said,
        **{name: pl.col(side) for side, name in LABEL_BOX.items()},
    )  # fmt: skip
    return in_columns(named)


def mask_gallery_of(mined: Path, facts: Mapping[str, Any], examples: Examples, maps: HardnessMaps) -> Gallery:
    """The gallery of mined masks: in the place of boxes the contours of the labels and of what is predicted.

    Raises: DataError: the pictures of the mined folder are not there, or not what they were.
    """
    numbers = pl.read_parquet(mined / "regions.parquet", columns=["number"])["number"]
    gallery = gallery_of(mined, facts, examples)
    number_of = numbers.gather(examples.rows["row"]).to_list()
    paths: dict[str, list[str]] = {name: [""] * len(number_of) for name in ("label", "found", "region")}
    for image in gallery.wanted:
        layers = _layers(mined, maps.pictures[image.image_id], image.size)
        for example, window in image.crops:
            for name, path in zip(paths, _paths(layers, number_of[example], window), strict=True):
                paths[name][example] = path
    kinds = list(dict.fromkeys(examples.rows["kind"]))
    data = {**gallery.data, "suspects": kinds, "paths": paths}
    return Gallery(mined, examples, gallery.wanted, data, gallery.data_set, gallery.predictions, maps=maps)


def _layers(mined: Path, picture: str, size: tuple[int, int]) -> Sequence[np.ndarray]:
    """Labels, what is predicted, and the numbers of regions, (H, W) each."""
    found = [load_values(mined / name / picture) for name in ("labels", "predicted", "regions")]
    for layer, name in zip(found, ("labels", "predicted", "regions"), strict=True):
        if layer.shape != size[::-1]:
            raise DataError(f"{mined / name / picture} is {layer.shape}, expected {size[::-1]}; mine again")
    labels, predicted, numbers = found
    return labels, np.where(labels == IGNORED, IGNORED, predicted), numbers


def _paths(layers: Sequence[np.ndarray], number: int, window: tuple[int, int, int, int]) -> tuple[str, str, str]:
    """Of what is labelled, predicted and suspect in a window (x, y, width, height); as fine as its picture is."""
    x, y, width, height = window
    step = max(1, -(-max(width, height) // CROP_SIDE))
    labels, predicted, numbers = (layer[y : y + height : step, x : x + width : step] for layer in layers)
    region = outline(numbers == number, (x, y), step)
    return contours(labels, (x, y), step), contours(predicted, (x, y), step), region
