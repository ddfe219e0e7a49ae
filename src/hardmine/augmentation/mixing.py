"""All augmentations of what was mined, each with its probability, as one transform."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.transforms import v2

from hardmine.augmentation.crops import HardCrops, Masks
from hardmine.augmentation.pasting import PasteHard
from hardmine.augmentation.places import HardPlaces
from hardmine.augmentation.windows import CropHard, HardMosaic
from hardmine.errors import ConfigError

__all__ = ["augmentation"]


def augmentation(
    images: Any,
    places: HardPlaces,
    chances: Mapping[str, float],
    masks: Masks | None = None,
    flips: tuple[float, float] = (0.0, 0.0),
) -> nn.Module:
    """The augmentations with the chances that `parse_chances` gives: (image, target) -> (image, target).

    First an image may be replaced by a crop or a mosaic, then distractors are pasted, and last objects. What there is
    no place for is left out: distractors, where no background is hard.

    Args: images, masks: as in `HardCrops`.  flips: probabilities of mirroring what is pasted, as the training mirrors
        its images.
    Raises: ConfigError: objects are to be pasted, and none is hard, or there is no place at all.
    """
    objects, backgrounds = places.of_objects, places.of_backgrounds
    if chances["paste"] and not len(objects):
        raise ConfigError("there is no hard object to paste; leave out paste, or mine with a lower score")
    steps: list[Any] = []
    if replaced := chances["crop"] + chances["mosaic"]:
        crops = HardCrops(images, places, masks)
        shares = [max(1 - replaced, 0.0), chances["crop"], chances["mosaic"]]
        steps.append(v2.RandomChoice([_both, CropHard(crops), HardMosaic(crops)], shares))
    if chances["distractors"] and len(backgrounds):
        nowhere = PasteHard(HardCrops(images, backgrounds), flips=flips, most_iou=0, most_covered=0)
        steps.append(v2.RandomApply([nowhere], chances["distractors"]))
    if chances["paste"]:
        steps.append(v2.RandomApply([PasteHard(HardCrops(images, objects, masks), flips=flips)], chances["paste"]))
    return v2.Compose(steps or [_both])


def _both(image: Any, target: Any) -> tuple[Any, Any]:
    return image, target
