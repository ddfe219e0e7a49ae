"""Detection data sets in, whatever their format; what is wrong with them; and the built-in scenes.

dataset = open_dataset("path/to/anything", "train")     COCO, Pascal VOC or YOLO, recognised from the path
report = check("path/to/anything")                      is it usable, what was found, what is wrong, record by record
scenes = open_scenes("train", label_errors=0.1)         generated, with the truth kept beside them
"""

from hardmine.data.checking import BoxSizes, CheckReport, SplitReport, check
from hardmine.data.derived import DerivedDataset, Fold, hold_out
from hardmine.data.label_errors import PlantedError
from hardmine.data.opening import available_splits, open_dataset
from hardmine.data.problems import Problem
from hardmine.data.records import DetectionDataset, ImageRecord, with_crowds
from hardmine.data.scenes import Scenes, open_scenes
from hardmine.data.transforms import TrainingTransform, collate, training_transform

__all__ = [
    "BoxSizes",
    "CheckReport",
    "DerivedDataset",
    "DetectionDataset",
    "Fold",
    "ImageRecord",
    "PlantedError",
    "Problem",
    "Scenes",
    "SplitReport",
    "TrainingTransform",
    "available_splits",
    "check",
    "collate",
    "hold_out",
    "open_dataset",
    "open_scenes",
    "training_transform",
    "with_crowds",
]
