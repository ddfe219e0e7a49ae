"""What a configuration says to learn from, and what to measure on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from hardmine.data import DetectionDataset, Fold, SegmentationDataset, groups_of, hold_out, open_dataset
from hardmine.data.groups import FOLDER, field_of
from hardmine.data.label_errors import parse_shares, with_label_errors
from hardmine.data.telling import say_once
from hardmine.errors import DataError
from hardmine.launch import is_first
from hardmine.training.config import TrainingConfig
from hardmine.training.mined import mark_missed, treat_suspects
from hardmine.training.proposals import with_proposals

__all__ = ["open_measured_data", "open_split", "open_training_data", "tell_shared_groups", "with_planted_errors"]

Data = TypeVar("Data", DetectionDataset, SegmentationDataset)


def open_training_data(config: TrainingConfig) -> tuple[DetectionDataset, DetectionDataset]:
    """Both data sets, with the same classes in the same order; with a fold, both are of the training split.

    With `group_by`, every image is known to have a group; a fold has whole groups, and groups that two splits share are
    told.
    Label errors are planted in what is learnt from, after a fold was held out, so what is measured on stays right.

    Raises: ConfigError, DataError: a configuration or a data set that cannot be used, or no object to learn from.
    """
    train_data = open_split(config, config.train_split)
    if config.fold is None:
        val_data = open_split(config, config.val_split, train_data.classes)
        if config.group_by is not None:
            _tell_shared_groups(train_data, val_data, config.group_by)
    else:
        groups = None if config.group_by is None else groups_of(train_data, config.group_by)
        train_data, val_data = hold_out(train_data, Fold.parse(config.fold), groups)
    train_data = with_planted_errors(config, train_data)
    _refuse_without_objects(config, train_data, "there is nothing to learn")
    if config.mined is not None:
        train_data = mark_missed(config.mined, train_data) if config.reassign else train_data
        train_data = treat_suspects(config.mined, train_data, config.suspects)
    return train_data, val_data


def _tell_shared_groups(train_data: DetectionDataset, val_data: DetectionDataset, by: str) -> None:
    tell_shared_groups(train_data, val_data, by, groups_of)


def tell_shared_groups(train_data: Data, val_data: Data, by: str, groups: Callable[[Data, str], np.ndarray]) -> None:
    """Says once that what is measured was partly learnt, where groups of images are in both data sets."""
    learnt, measured = (set(groups(data, by).tolist()) for data in (train_data, val_data))
    shared = sorted(learnt & measured)
    if shared and by != FOLDER and is_first():  # folders of two splits may be called alike
        say_once(
            f"{val_data.name}: {len(shared)} of the {len(measured)} groups of split {val_data.split!r} are in split "
            f"{train_data.split!r} too, the first is {shared[0]!r}: what is measured there was partly learnt"
        )


def with_planted_errors(config: TrainingConfig, train_data: DetectionDataset) -> DetectionDataset:
    """What is learnt from, or a part of it, with the label errors that the configuration asks for.

    Raises: ConfigError: errors that these classes cannot have.
    """
    return (
        train_data if config.label_errors is None else with_label_errors(train_data, parse_shares(config.label_errors))
    )


def open_measured_data(config: TrainingConfig, split: str | None = None) -> DetectionDataset:
    """What to measure on, or another split with the same classes; known to have objects to find.

    Raises: ConfigError, DataError: as `open_training_data`, or there is no labelled object, so no AP to compare.
    """
    train_data, measured = open_training_data(config)
    if split is not None:
        measured = open_split(config, split, train_data.classes)
        if config.group_by is not None:
            _tell_shared_groups(train_data, measured, config.group_by)
    _refuse_without_objects(config, measured, "there is no AP to compare")
    return measured


def _refuse_without_objects(config: TrainingConfig, dataset: DetectionDataset, consequence: str) -> None:
    if all(record.is_crowd.all() for record in dataset.records):
        raise DataError(f"{config.data}, split {dataset.split}: no labelled object, so {consequence}")


def open_split(config: TrainingConfig, split: str | None, classes: Sequence[str] | None = None) -> DetectionDataset:
    """A split of the configuration's data, whole; with the classes in this order, where it is given, and proposals.

    Raises: DataError: it cannot be used.  ConfigError: proposals that cannot be had.
    """
    images, unlabelled = None if config.images is None else Path(config.images), config.allow_unlabelled
    dataset = open_dataset(
        config.data,
        split,
        classes=classes,
        images=images,
        allow_unlabelled=unlabelled,
        image_field=field_of(config.group_by),
    )
    return with_proposals(dataset, config.proposals)
