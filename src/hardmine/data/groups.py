"""Which images belong together: frames of a video, slices of a patient, tiles of a scene.

Images of one group are alike, so they are no independent evidence, and a model that has seen some of them knows the
others. What the group of an image is, is said in one of three ways:

    video_id            a field of COCO's image entries; only COCO has such fields
    folder              the folder that the image lies in
    ^(.+)_tile          a regular expression with one group, in parentheses, which are what tells it from a field: it is
                        looked for in the name of the file, or if it has a slash, in the whole path
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from hardmine.data.identity import as_key, as_text
from hardmine.data.records import DetectionDataset
from hardmine.errors import ConfigError, DataError

__all__ = ["FOLDER", "check_grouping", "field_of", "groups_of", "groups_of_masks"]

FOLDER = "folder"
"""The way that is neither a field nor an expression."""
WAYS = "a field of COCO's images (video_id), folder, or a regular expression with one group ('^(.+)_tile')"


def check_grouping(by: str) -> None:
    """Raises: ConfigError: it says nothing, or is no regular expression with one group."""
    if not by or by.isspace():
        raise ConfigError(f"group_by is {by!r}, expected {WAYS}")
    _expression(by)


def field_of(by: str | None) -> str | None:
    """The field of COCO's images that is meant; None if none is."""
    return None if by is None or by == FOLDER or "(" in by else by


class Grouped(Protocol):
    """A record of an image, for boxes or for masks."""

    @property
    def image_id(self) -> int: ...
    @property
    def file(self) -> Path | None: ...


class GroupedData(Protocol):
    """A data set of such records."""

    name: str
    split: str

    @property
    def records(self) -> Sequence[Grouped]: ...


def groups_of(dataset: DetectionDataset, by: str) -> np.ndarray:
    """The name of the group of each image, (I,) of texts, in the order of the images.

    Where a field is meant, the data set must have been opened with it (`open_dataset(..., image_field=by)`).

    Raises: ConfigError: as `check_grouping`.  DataError: an image without a group.
    """
    check_grouping(by)
    if by == FOLDER:
        files = zip(dataset.records, dataset.file_names, strict=True)
        groups = [PurePosixPath(name).parent.as_posix() if record.file else None for record, name in files]
    elif (expression := _expression(by)) is not None:
        groups = [_matched(expression, record) for record in dataset.records]
    else:
        groups = [as_key((record.fields or {}).get(by)) for record in dataset.records]
    return _known(dataset, groups, by)


def groups_of_masks(dataset: GroupedData, by: str) -> np.ndarray:
    """As `groups_of`, of images with masks, which have no fields: by folder or by a regular expression.

    Raises: ConfigError: as `check_grouping`, or a field.  DataError: an image without a group.
    """
    check_grouping(by)
    if field_of(by) is not None:
        raise ConfigError(
            f"group_by is {by!r}, a field of COCO's images, which masks do not have; expected folder, or a regular "
            "expression with one group ('^(.+)_tile')"
        )
    expression = _expression(by)
    if expression is None:
        groups = [None if record.file is None else as_text(record.file.parent.as_posix()) for record in dataset.records]
    else:
        groups = [_matched(expression, record) for record in dataset.records]
    return _known(dataset, groups, by)


def _known(dataset: GroupedData, groups: Sequence[str | None], by: str) -> np.ndarray:
    for record, group in zip(dataset.records, groups, strict=True):
        if group is None:
            raise DataError(f"{_called(record)} of {dataset.name}, split {dataset.split!r}, {_why_none(record, by)}")
    return np.array(groups, dtype=str)


def _expression(by: str) -> re.Pattern[str] | None:
    """Raises: ConfigError: it has parentheses but is no regular expression with one group."""
    if "(" not in by:
        return None
    try:
        expression = re.compile(by)
    except re.error as error:
        raise ConfigError(f"group_by {by!r} is no regular expression ({error}); expected {WAYS}") from error
    if expression.groups != 1:
        raise ConfigError(f"group_by {by!r} has {expression.groups} groups in parentheses, expected one: '^(.+)_tile'")
    return expression


def _matched(expression: re.Pattern[str], record: Grouped) -> str | None:
    """The group's part of the name or path; None where nothing matches, or nothing but an empty part."""
    if record.file is None:
        return None
    found = expression.search(as_text(record.file.as_posix() if "/" in expression.pattern else record.file.name))
    return (found[1] or None) if found else None


def _called(record: Grouped) -> str:
    return f"image id {record.image_id}" if record.file is None else f"image {record.file.name!r}"


def _why_none(record: Grouped, by: str) -> str:
    if field_of(by) is not None:
        return f"has no field {by!r}, a text or a whole number, so no group; expected {WAYS}"
    why = "has no file" if record.file is None else f"does not match {by!r}"
    return f"{why}, so it has no group; expected an expression that matches every image, or another way: {WAYS}"
