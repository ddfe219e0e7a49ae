"""COCO results as Python has them: a list of records, whatever numbers they are made of.

    {"image_id": 139, "category_id": 1, "bbox": [x, y, width, height], "score": 0.5}

Beside them, or instead of them, file_name and category (or category_name, label) may say which image and class are
meant. Numbers may be NumPy's or torch's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from hardmine.data.identity import as_key, as_text, plain
from hardmine.errors import DataError
from hardmine.predictions.found import COLUMNS, NUMBERS, Found, make_rows
from hardmine.predictions.plain_records import LARGEST, NAMES_OF_CLASSES, rows_if_plain

__all__ = ["Record", "checked_record", "checked_rows", "found_records", "from_records"]


@dataclass(frozen=True, slots=True)
class Record:
    """One prediction, its numbers known to be numbers."""

    image_id: str | None
    file_name: str | None
    category_id: str | None
    category: str | None
    box: tuple[float, float, float, float]
    score: float


def found_records(records: Sequence[Any], source: str, box_format: str = "xywh") -> Found:
    """A list of COCO results.

    Raises: DataError: as `checked_record`, of the first that is wrong; the message counts from 0.
    """
    rows = rows_if_plain(records, box_format)
    rows = checked_rows(records, source, box_format) if rows is None else rows
    return Found(rows, box_format, source, lambda row: f"{source}, record {row}")


def checked_rows(records: Sequence[Any], source: str, box_format: str, first: int = 0) -> pl.DataFrame:
    """Their rows. first: the number of the first record. Raises: DataError: as `found_records`."""
    numbered = enumerate(records, start=first)
    return _rows([checked_record(record, f"{source}, record {number}", box_format) for number, record in numbered])


def from_records(records: Sequence["Record"], box_format: str, source: str, where: Callable[[int], str]) -> Found:
    """Records that are checked, as a table. where: says of a record's place in which file it stands."""
    return Found(_rows(records), box_format, source, where)


def _rows(records: Sequence["Record"]) -> pl.DataFrame:
    columns = {name: [getattr(record, name) for record in records] for name in COLUMNS if name not in NUMBERS}
    return make_rows(columns, [record.box for record in records])


def checked_record(record: Any, where: str, box_format: str = "xywh") -> Record:
    """The fields of a record.

    Raises: DataError: it is no object, lacks a field, or has a box or score that is not a finite number.
    """
    if not isinstance(record, Mapping):
        raise DataError(f"{where}: expected an object with image_id, category_id, bbox and score, got {record!r:.60}")
    category = next((record[name] for name in NAMES_OF_CLASSES if isinstance(record.get(name), str)), None)
    missing = {"bbox", "score"} - record.keys()
    missing |= {"image_id"} - record.keys() if "file_name" not in record else set()
    missing |= {"category_id"} - record.keys() if category is None else set()
    if missing:
        raise DataError(f"{where}: lacks {', '.join(sorted(missing))}")
    file_name = record.get("file_name")
    return Record(
        image_id=_key(record, "image_id", file_name, where),
        file_name=None if file_name is None else as_text(str(file_name)),
        category_id=_key(record, "category_id", category, where),
        category=None if category is None else as_text(category),
        box=_box(record["bbox"], where, box_format),
        score=_score(record["score"], where),
    )


def _key(record: Mapping[str, Any], field: str, name: Any, where: str) -> str | None:
    key = as_key(record.get(field))
    if key is None and (name is None or record.get(field) is not None):
        raise DataError(f"{where}: {field} {record.get(field)!r:.60} is not an id; expected a number or a text")
    return key


def _box(value: Any, where: str, box_format: str) -> tuple[float, float, float, float]:
    value = value.tolist() if hasattr(value, "tolist") else value
    numbers = [plain(number) for number in value] if isinstance(value, list | tuple) else []
    has_sides = not box_format.startswith("xyxy")
    if len(numbers) != 4 or not all(map(_is_number, numbers)) or (has_sides and min(numbers[2:]) < 0):
        fields = "x, y, width, height, the sizes not negative" if has_sides else "x1, y1, x2, y2"
        raise DataError(f"{where}: bbox must be finite numbers (up to 1e9) {fields}, got {value!r:.80}")
    x, y, width, height = map(float, numbers)
    return x, y, width, height


def _score(value: Any, where: str) -> float:
    number = plain(value)
    if not _is_number(number):
        raise DataError(f"{where}: score must be a finite number (up to 1e9), got {value!r:.60}")
    return float(number)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST  # NaN is not
