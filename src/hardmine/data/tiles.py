"""Large images as tiles: a detector is shown pixels as they are, where a whole scene would be scaled down to nothing.

Tiles lie in rows and columns that overlap; the last of each ends at the border of the image, perhaps overlapping more,
and no tile is filled up. A tile is called `<stem>_tile_<x>_<y>.png` by its left upper corner, so that `--group-by
'^(.+)_tile_'` says which are of one image. An overlap as large as the objects shows each of them whole in some tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from hardmine.data.derived import DerivedDataset
from hardmine.data.paths import stem_of
from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.errors import ConfigError

__all__ = ["Tiles", "tiled"]


@dataclass(frozen=True, slots=True)
class _Tile:
    place: int  # of the image among those of the parent
    x: int  # left and upper border in the image, in pixels
    y: int
    width: int
    height: int


class Tiles(DerivedDataset):
    """A data set of tiles of the images of a parent. They have no files: `export` writes them."""

    def __init__(self, parent: DetectionDataset, tiles: list[_Tile], visible: float):
        of = [parent.records[tile.place] for tile in tiles]
        records = [_cut(record, tile, n, visible) for n, (record, tile) in enumerate(zip(of, tiles, strict=True), 1)]
        super().__init__(parent, parent.split, [tile.place for tile in tiles], records)
        self._tiles = tiles
        self._decoded: tuple[int, np.ndarray] | None = None

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        """What each tile is to be called, in the folder of its image."""
        return tuple(f"{self._stem(tile.place)}_tile_{tile.x}_{tile.y}.png" for tile in self._tiles)

    def pixels(self, index: int) -> np.ndarray:
        tile = self._tiles[index]
        if self._decoded is None or self._decoded[0] != tile.place:  # an image is asked for tile by tile
            self._decoded = tile.place, self.parent.pixels(tile.place)
        return self._decoded[1][tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].copy()

    def proposals(self, index: int) -> np.ndarray | None:
        return None

    def _stem(self, place: int) -> str:
        return stem_of(self.parent.file_names[place]) or str(self.parent.records[place].image_id)


def tiled(dataset: DetectionDataset, side: int, overlap: int = 0, visible: float = 0.5) -> Tiles:
    """The images cut into tiles of side x side pixels, or as large as the image where it is smaller.

    An object of which a tile has less than the share `visible` is neither object nor background there, as a crowd;
    boxes end at the border of the tile, and areas shrink as their boxes do.

    Raises: ConfigError: a side below 1, an overlap that is not smaller than the side, or no share above 0.
    """
    if side < 1 or not 0 <= overlap < side or not 0 < visible <= 1:
        raise ConfigError(
            f"tiles of {side} pixels with an overlap of {overlap} and a visible share of {visible}; expected at least "
            "1 pixel, an overlap from 0 to less than the side, and a share above 0 and at most 1"
        )
    tiles = [
        _Tile(place, x, y, min(side, record.width), min(side, record.height))
        for place, record in enumerate(dataset.records)
        for y, x in product(_starts(record.height, side, overlap), _starts(record.width, side, overlap))
    ]
    return Tiles(dataset, tiles, visible)


def _starts(length: int, side: int, overlap: int) -> Iterator[int]:
    """Where tiles begin along a border of the image; the last one ends at its end."""
    last = max(length - side, 0)
    yield from range(0, last, side - overlap)
    yield last


def _cut(record: ImageRecord, tile: _Tile, number: int, visible: float) -> ImageRecord:
    boxes, share = _visible(record.boxes, tile)
    is_there = share > 0
    is_crowd = record.is_crowd | (share < visible)
    lost, lost_share = _visible(record.regions, tile)
    return replace(
        record,
        image_id=number,
        file=None,
        width=tile.width,
        height=tile.height,
        boxes=boxes[is_there],
        labels=record.labels[is_there],
        is_crowd=is_crowd[is_there],
        areas=(record.object_areas() * share)[is_there].astype(np.float32),
        weights=None if record.weights is None else record.weights[is_there],
        missed=None if record.missed is None else record.missed[is_there],
        orientation=1,
        unreadable=lost[lost_share > 0],
        duplicate_of=None,
        own_id=None,
        aliases=(),
        is_numbered=True,
    )


def _visible(boxes: np.ndarray, tile: _Tile) -> tuple[np.ndarray, np.ndarray]:
    """The boxes (n, 4) in pixels of the tile, cut at its borders, and (n,) the share of each that it has."""
    size = (tile.width, tile.height)
    moved = boxes - np.array([tile.x, tile.y] * 2, dtype=np.float32)
    cut = np.clip(moved, 0, [*size, *size]).astype(np.float32)
    whole, left = (np.prod(of[:, 2:] - of[:, :2], axis=1) for of in (moved, cut))
    return cut, left / whole
