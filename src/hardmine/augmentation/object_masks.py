"""Which pixels are an object's, where its data set says so: COCO's polygons and masks, and the built-in scenes.

Shapes are found again by the file of their image and the box of their object, so that an object that was moved, or is
no longer as its file says, is not cut by another's outline.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hardmine.data import DerivedDataset, DetectionDataset, Scenes
from hardmine.data.coco import CocoSource
from hardmine.data.entries import Reading
from hardmine.data.opening import find_source
from hardmine.data.scenes import SCENES
from hardmine.data.segmentation.shapes import read_shape
from hardmine.data.tiles import Tiles
from hardmine.errors import DataError

__all__ = ["ObjectMasks", "object_masks"]

SAME_PX = 0.1
"""How far a box may be from that of a shape: readers clip boxes at the border of their image."""
Shapes = Mapping[Path, Sequence[tuple[np.ndarray, Any]]]


class ObjectMasks(Protocol):
    """(H, W) bool of the object of an image with a box xyxy; None: not known."""

    def __call__(self, image: int, box: np.ndarray) -> np.ndarray | None: ...


def object_masks(dataset: DetectionDataset, data: str, images: str | None = None) -> ObjectMasks | None:
    """The masks of the objects of a data set, read from where it was opened; None: it has none.

    Args: data, images: what `open_dataset` was given.
    Raises: DataError: as `open_dataset`.
    """
    if data == SCENES:
        return _OfScenes(dataset)
    folder = None if images is None else Path(images)
    source = find_source(data, folder)
    if not isinstance(source, CocoSource) or dataset.split not in source.splits:
        return None
    entries = source.read(dataset.split, Reading(folder, keep_shapes=True)).images
    shapes = {entry.file: [(np.array(one.box), one.shape) for one in entry.objects if one.shape] for entry in entries}
    return _OfCoco(dataset, shapes) if any(shapes.values()) else None


class _OfCoco:
    def __init__(self, dataset: DetectionDataset, shapes: Shapes):
        self._dataset, self._shapes = dataset, shapes

    def __call__(self, image: int, box: np.ndarray) -> np.ndarray | None:
        record = self._dataset.records[image]
        if record.file is None or record.orientation != 1:  # shapes are drawn on the picture as it is stored
            return None
        limits = np.array([record.width, record.height] * 2)
        for own, shape in self._shapes.get(record.file, ()):
            if (np.abs(np.clip(own, 0, limits) - box) < SAME_PX).all():
                return _covered(shape, record.width, record.height)
        return None


def _covered(shape: Any, width: int, height: int) -> np.ndarray | None:
    try:
        return read_shape(shape, width, height).covered(width, height)
    except DataError:  # a shape that cannot be read: the box will do
        return None


class _OfScenes:
    def __init__(self, dataset: DetectionDataset):
        places, is_cut = list(range(len(dataset))), False
        while isinstance(dataset, DerivedDataset):
            is_cut = is_cut or isinstance(dataset, Tiles)
            places, dataset = [dataset.places[place] for place in places], dataset.parent
        self._masks = dataset.masks if isinstance(dataset, Scenes) and not is_cut else ()
        self._places = places

    def __call__(self, image: int, box: np.ndarray) -> np.ndarray | None:
        if not self._masks:
            return None
        mask = np.zeros_like(self._masks[self._places[image]], dtype=bool)
        x1, y1, x2, y2 = (*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int))
        mask[y1:y2, x1:x2] = self._masks[self._places[image]][y1:y2, x1:x2] > 0  # digits touch no other
        return mask
