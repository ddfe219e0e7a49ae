from .checking import BoxSizes as BoxSizes, CheckReport as CheckReport, SplitReport as SplitReport, check as check
from .derived import DerivedDataset as DerivedDataset, Fold as Fold, hold_out as hold_out
from .exporting import export as export
from .groups import groups_of as groups_of
from .label_errors import PlantedError as PlantedError
from .opening import available_splits as available_splits, open_dataset as open_dataset
from .problems import Problem as Problem
from .records import DetectionDataset as DetectionDataset, ImageRecord as ImageRecord, with_crowds as with_crowds
from .scenes import Scenes as Scenes, open_scenes as open_scenes
from .segmentation.checking import (
    SegmentationCheck as SegmentationCheck,
    SegmentationSplit as SegmentationSplit,
    check_segmentation as check_segmentation,
)
from .segmentation.label_errors import (
    PlantedMaskError as PlantedMaskError,
    WithMaskErrors as WithMaskErrors,
    with_mask_errors as with_mask_errors,
)
from .segmentation.opening import open_segmentation as open_segmentation
from .segmentation.records import (
    IGNORED as IGNORED,
    SegmentationDataset as SegmentationDataset,
    SegmentationRecord as SegmentationRecord,
    hold_out_masks as hold_out_masks,
)
from .segmentation.scenes import (
    SegmentationScenes as SegmentationScenes,
    open_segmentation_scenes as open_segmentation_scenes,
)
from .tiles import tiled as tiled
from .transforms import (
    TrainingTransform as TrainingTransform,
    collate as collate,
    training_transform as training_transform,
)
