"""The built-in scenes with a mask: of every pixel, whether it is ink of a digit that is a class, or anything else.

The pictures are those of `hardmine.data.scenes`, the mask is exact: a pixel belongs to a digit where the ink covers it
by half. Digits that only look like a class are background, as is the photograph: rare, easily mistaken pixels of a
known place.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hardmine.data.scenes import SCENE_CLASSES, SCENES, Scenes, open_scenes
from hardmine.data.segmentation.masks import HeldMask
from hardmine.data.segmentation.records import SegmentationDataset, SegmentationRecord

__all__ = ["SEGMENTATION_CLASSES", "SegmentationScenes", "open_segmentation_scenes"]

SEGMENTATION_CLASSES = ("background", *SCENE_CLASSES)


class SegmentationScenes(SegmentationDataset):
    """Scenes held in memory. look_alikes: per image, (H, W) bool, the ink of digits that only look like a class."""

    def __init__(self, scenes: Scenes):
        self._scenes = scenes
        records = [
            SegmentationRecord(record.image_id, None, HeldMask(mask), record.width, record.height)
            for record, mask in zip(scenes.records, scenes.masks, strict=True)
        ]
        super().__init__(SCENES, scenes.split, SEGMENTATION_CLASSES, records)

    def pixels(self, index: int) -> np.ndarray:
        return self._scenes.pixels(index)

    @cached_property
    def look_alikes(self) -> Sequence[np.ndarray]:
        return self._scenes.look_alike_masks


def open_segmentation_scenes(
    split: str = "train", num_images: int | None = None, seed: int = 0, size: int = 128
) -> SegmentationScenes:
    """Generates the scenes of a split, as `open_scenes` does, with their masks. Raises: as `open_scenes`."""
    return SegmentationScenes(open_scenes(split, num_images, seed, size))
