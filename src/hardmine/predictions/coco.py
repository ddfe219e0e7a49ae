"""COCO results, and COCO data sets whose annotations have scores.

In a data set the ids are those of its own lists of images and categories, not of the data set that is mined: names are
taken from there.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from hardmine.data.identity import as_key
from hardmine.errors import DataError
from hardmine.predictions.found import Found
from hardmine.predictions.plain_records import PlainRecord, plain_rows
from hardmine.predictions.records import checked_rows, found_records
from hardmine.predictions.records_in_text import Values

__all__ = ["BOX_FORMAT", "fits", "read", "rows_of_parts"]

BOX_FORMAT = "xywh"
"""What the four numbers of a box are, unless somebody says otherwise."""


def fits(document: Any) -> bool:
    """Whether it is a list of records, the one record of a file of JSON lines, or an object with annotations."""
    if isinstance(document, dict):
        return isinstance(document.get("annotations"), list) or "bbox" in document
    return isinstance(document, list) and not any(isinstance(part, dict) and "data" in part for part in document[:1])


def read(document: Any, source: str, box_format: str | None) -> Found:
    """Raises: DataError: a record that is none."""
    if isinstance(document, dict) and "annotations" not in document:
        document = [document]
    elif isinstance(document, dict):
        names = _names(document, "images", "file_name"), _told_apart(_names(document, "categories", "name"))
        document = [
            _with_names(record, *names, f"{source}, record {n}") for n, record in enumerate(document["annotations"])
        ]
    return found_records(document, source, box_format or BOX_FORMAT)


def rows_of_parts(parts: Iterable[Values], source: str, box_format: str) -> Iterator[pl.DataFrame]:
    """The rows of records that come in parts. Raises: DataError: a record that is none; the message counts from 0."""
    first = 0
    for values in parts:
        is_plain = bool(values) and isinstance(values[0], PlainRecord)
        yield plain_rows(values) if is_plain else checked_rows(values, source, box_format, first)
        first += len(values)


def _names(document: dict[str, Any], items: str, field: str) -> dict[str | None, str]:
    listed = document.get(items)
    parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    return {as_key(part.get("id")): part[field] for part in parts if isinstance(part.get(field), str)}


def _told_apart(names: dict[str | None, str]) -> dict[str | None, str]:
    """Of equal names the later with their ids, as data sets have them."""
    first = {name: key for key, name in reversed(names.items())}
    return {key: name if key == first[name] else f"{name} (id {key})" for key, name in names.items()}


def _with_names(record: Any, images: dict[str | None, str], categories: dict[str | None, str], where: str) -> Any:
    """The record with names in place of the ids that the document explains."""
    if not isinstance(record, dict):
        return record
    named = dict(record)
    for names, field, name in ((images, "image_id", "file_name"), (categories, "category_id", "category")):
        key = as_key(record.get(field))
        if names and key not in names:
            raise DataError(f"{where}: {field} {key} is not among the file's own; add it there, or leave the list out")
        if names:
            named.pop(field)
            named[name] = names[key]
    return named
