"""Segmentation: a class for every pixel, measured by intersection over union."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from hardmine.data import SegmentationDataset
from hardmine.data.groups import groups_of_masks
from hardmine.data.segmentation.transforms import MaskTransform, collate_masks
from hardmine.detectors import Segmenter
from hardmine.errors import ConfigError, RunError
from hardmine.evaluation import JudgedMasks, MaskMetrics
from hardmine.evaluation.segmentation import iou_of_class
from hardmine.files.writing import is_taken
from hardmine.training.batches import Augmentation
from hardmine.training.config import TrainingConfig
from hardmine.training.folder import RunFolder
from hardmine.training.mask_data import (
    open_mask_split,
    open_masks_or_pictures,
    open_measured_masks,
    open_other_masks,
    open_training_masks,
)
from hardmine.training.mined_masks import mask_image_weights
from hardmine.training.planted import write_planted_masks
from hardmine.training.segment import FoundMasks, are_written, judge_written, predict_masks
from hardmine.training.summed import SummedMaskLoss
from hardmine.training.tasks.task import Asked, Task

__all__ = ["Segmentation"]

HARDLY_LEARNT = 1.1
"""Times the mean accuracy of a segmenter that calls all pixels by one class: below it, it tells next to none apart."""


class Segmentation(Task):
    """A class for every pixel."""

    name = "segmentation"
    model = Segmenter
    main, called = "miou", "mIoU"
    columns = {"miou": "mIoU", "accuracy": "accuracy", "boundary_iou": "boundary IoU"}  # noqa: RUF012
    metrics = MaskMetrics
    recipes = "ce,pixel_ohem,focal"

    def open_training_data(self, config: TrainingConfig) -> tuple[SegmentationDataset, SegmentationDataset]:
        return open_training_masks(config)

    def open_measured_data(self, config: TrainingConfig, split: str | None = None) -> SegmentationDataset:
        return open_measured_masks(config, split)

    def open_asked(self, config: TrainingConfig, classes: Mapping[int | str, str], asked: Asked) -> SegmentationDataset:
        if asked.proposals is not None or asked.allow_unlabelled:
            raise ConfigError(
                "--proposals and --allow-unlabelled are of boxes, and this run is of masks; leave them out"
            )
        names = tuple(classes.values())
        if asked.data is not None:
            open_data = open_other_masks if asked.needs_labels else open_masks_or_pictures
            return open_data(config, asked.data, asked.split, asked.images, names)
        config = config if asked.images is None else replace(config, images=str(asked.images))
        if asked.split in (None, config.measured_split):
            return open_training_masks(config)[1]
        return open_mask_split(config, asked.split, names)

    def groups(self, dataset: SegmentationDataset, by: str) -> np.ndarray:
        return groups_of_masks(dataset, by)

    def image_weights(self, config: TrainingConfig, dataset: SegmentationDataset) -> np.ndarray | None:
        return None if config.mined is None else mask_image_weights(config.mined, dataset)

    def augmentation(self, config: TrainingConfig, images: Any = None, dataset: Any = None) -> Augmentation:
        side = config.side
        if side is None:
            raise ConfigError("images with masks are cut to image_size pixels in training, and it is not known")
        return MaskTransform(side, *config.flips), collate_masks

    def tensors(self, targets: Tensor) -> Tensor:
        return targets

    def summed(self, model: Segmenter, config: TrainingConfig) -> SummedMaskLoss:
        return SummedMaskLoss(model, config.classification_weight)

    def find(
        self,
        model: Segmenter,
        dataset: SegmentationDataset,
        accelerator: Accelerator,
        *,
        batch_size: int = 8,
        workers: int = 0,
        watch: Callable[[DataLoader[Any]], Iterable[Any]] = iter,
    ) -> FoundMasks:
        return predict_masks(model, dataset, accelerator, workers=workers, watch=watch)

    def predictions(self, folder: RunFolder, split: str) -> Path:
        return folder.masks(split)

    def is_kept(self, folder: RunFolder, dataset: SegmentationDataset) -> bool:
        return are_written(folder.masks(dataset.split), dataset)

    def read(self, folder: RunFolder, dataset: SegmentationDataset) -> JudgedMasks:
        return judge_written(folder.masks(dataset.split), dataset)

    def judge(self, dataset: SegmentationDataset, found: JudgedMasks) -> JudgedMasks:
        return found

    def refuse_out(self, out: Path) -> None:
        if out.suffix == ".json" or is_taken(out):
            why = "is no folder" if out.suffix == ".json" else "exists already"
            raise RunError(f"{out} {why}; masks are written as PNG files: choose another folder")

    def write_found(
        self,
        model: Segmenter,
        dataset: SegmentationDataset,
        accelerator: Accelerator,
        out: Path,
        config: TrainingConfig,
        asked: Asked,
    ) -> None:
        self.find(model, dataset, accelerator).write(out)

    def facts(self, dataset: SegmentationDataset) -> dict[str, Any]:
        return {"classes": dataset.classes, "category_ids": list(range(len(dataset.classes)))}

    def write_planted(self, file: Path, train_data: SegmentationDataset) -> None:
        write_planted_masks(file, train_data)

    def hardly_learnt(self, recipes: Iterable[Mapping[str, float | None]]) -> str | None:
        recipes = list(recipes)
        num_classes = sum(measure.startswith(iou_of_class("")) for measure in recipes[0])
        least = HARDLY_LEARNT / max(1, num_classes)
        if any((of.get("mean_accuracy") or 0.0) >= least for of in recipes):
            return None
        return f"No recipe has a mean accuracy of {least:.2g}, which calling all pixels by one class all but gives"
