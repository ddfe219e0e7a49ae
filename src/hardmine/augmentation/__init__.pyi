from .chances import AUGMENT as AUGMENT, parse_chances as parse_chances
from .crops import HardCrops as HardCrops, Patch as Patch
from .mixing import augmentation as augmentation
from .object_masks import ObjectMasks as ObjectMasks, object_masks as object_masks
from .pasting import PasteHard as PasteHard
from .places import BACKGROUND as BACKGROUND, HardPlaces as HardPlaces
from .repeat_factors import (
    RepeatRule as RepeatRule,
    parse_repeat_rule as parse_repeat_rule,
    repeat_factors as repeat_factors,
)
from .targets import joined as joined
from .windows import CropHard as CropHard, HardMosaic as HardMosaic
