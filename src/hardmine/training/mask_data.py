"""What a configuration of a segmentation says to learn from, and what to measure on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hardmine.data import Fold, SegmentationDataset, hold_out_masks, open_segmentation, with_mask_errors
from hardmine.data.groups import groups_of_masks
from hardmine.data.scenes import SCENES
from hardmine.data.segmentation.label_errors import parse_mask_shares
from hardmine.data.segmentation.opening import find_segmentation
from hardmine.data.segmentation.pictures import open_pictures
from hardmine.errors import DataError
from hardmine.training.config import TrainingConfig
from hardmine.training.data import tell_shared_groups
from hardmine.training.mined_masks import treat_suspect_regions

__all__ = [
    "open_mask_split",
    "open_masks_or_pictures",
    "open_measured_masks",
    "open_other_masks",
    "open_training_masks",
    "with_planted_mask_errors",
]


def open_training_masks(config: TrainingConfig) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Both data sets, with the same classes in the same order; with a fold, both are of the training split.

    Label errors are planted in what is learnt from, after a fold was held out, so what is measured on stays right.

    Raises: ConfigError, DataError: a configuration or a data set that cannot be used.
    """
    train_data, by = open_mask_split(config, config.train_split), config.group_by
    if config.fold is None:
        val_data = open_mask_split(config, config.val_split, train_data.classes)
        if by is not None:
            tell_shared_groups(train_data, val_data, by, groups_of_masks)
    else:
        groups = None if by is None else groups_of_masks(train_data, by)
        train_data, val_data = hold_out_masks(train_data, Fold.parse(config.fold), groups)
    train_data = with_planted_mask_errors(config, train_data)
    if config.mined is not None:
        train_data = treat_suspect_regions(config.mined, train_data, config.suspects)
    return train_data, val_data


def with_planted_mask_errors(config: TrainingConfig, train_data: SegmentationDataset) -> SegmentationDataset:
    """What is learnt from, or a part of it, with the label errors that the configuration asks for.

    Raises: ConfigError: errors that these classes cannot have.
    """
    if config.label_errors is None:
        return train_data
    return with_mask_errors(train_data, parse_mask_shares(config.label_errors))


def open_measured_masks(config: TrainingConfig, split: str | None = None) -> SegmentationDataset:
    """What to measure on, or another split with the same classes. Raises: as `open_training_masks`."""
    train_data, measured = open_training_masks(config)
    if split is None:
        return measured
    measured = open_mask_split(config, split, train_data.classes)
    if config.group_by is not None:
        tell_shared_groups(train_data, measured, config.group_by, groups_of_masks)
    return measured


def open_mask_split(
    config: TrainingConfig, split: str | None, classes: Sequence[str] | None = None
) -> SegmentationDataset:
    """A split of the configuration's data, whole; known to have these classes in this order, where they are given.

    Raises: DataError: it cannot be used, or has others.
    """
    images = None if config.images is None else Path(config.images)
    dataset = open_segmentation(config.data, split, classes=config.classes, images=images, instances=config.instances)
    if classes is not None and dataset.classes != tuple(classes):
        raise DataError(
            f"{config.data}, split {dataset.split!r}: its classes are {', '.join(dataset.classes)}; expected "
            f"{', '.join(classes)}, in this order"
        )
    return dataset


def open_other_masks(
    config: TrainingConfig, data: str | Path, split: str | None, images: Path | None, classes: Sequence[str]
) -> SegmentationDataset:
    """A split of other data than the configuration's, with its classes. Raises: DataError: as `open_mask_split`."""
    of_data = replace(config, data=str(data), images=None if images is None else str(images))
    return open_mask_split(of_data, split, classes)


def open_masks_or_pictures(
    config: TrainingConfig, data: str | Path, split: str | None, images: Path | None, classes: Sequence[str]
) -> SegmentationDataset:
    """As `open_other_masks`; a folder without masks gives its images. Raises: DataError: it has none either."""
    if data != SCENES and split is None and Path(data).is_dir() and not _has_masks(data):
        return open_pictures(Path(data), classes)
    return open_other_masks(config, data, split, images, classes)


def _has_masks(data: str | Path) -> bool:
    try:
        find_segmentation(data)
    except DataError:
        return False
    return True
