"""YOLO's text files, one an image, called as it is: class, centre x, y, width, height as fractions, confidence.

What tracking adds, a number of the track after the confidence, is left out.
"""

from collections.abc import Iterator
from pathlib import Path

from hardmine.errors import DataError
from hardmine.files.reading import read_text
from hardmine.predictions.found import Found
from hardmine.predictions.records import Record, checked_record, from_records

__all__ = ["read"]

WIDTHS = (6, 7)
"""How many fields a line has."""
NO_PREDICTIONS = frozenset({"classes.txt", "notes.txt", "README.txt"})
"""Unless there are predictions in them, on an image that is called so."""


def read(folder: Path, box_format: str | None) -> Found:
    """Every text file in the folder and below it.

    Raises: DataError: a line that is none, or without a confidence; the message names file and line.
    """
    lines = list(_lines(folder))
    form = box_format or "cxcywhn"
    records = [_record(name, fields, where, form) for name, fields, where in lines]
    return from_records(records, form, str(folder), lambda row: lines[row][2])


def _lines(folder: Path) -> Iterator[tuple[str, list[str], str]]:
    """Name of the image, fields, and where that stands."""
    for file in sorted(folder.rglob("*.txt")):
        if file.name in NO_PREDICTIONS and not _holds_predictions(file):
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            if line.strip():
                yield name, line.split(), f"{file}, line {number}"


def _holds_predictions(file: Path) -> bool:
    try:
        lines = read_text(file).splitlines()
    except DataError:
        return False
    return all(_is_prediction(line.split()) for line in lines if line.strip())


def _is_prediction(fields: list[str]) -> bool:
    return len(fields) in WIDTHS and all(map(_is_number, fields))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _record(name: str, fields: list[str], where: str, box_format: str) -> Record:
    if len(fields) == 5:
        raise DataError(f"{where}: 5 fields, so no confidence; predict with save_conf=True, as class, box, confidence")
    if len(fields) not in WIDTHS:
        raise DataError(f"{where}: {len(fields)} fields, expected class, four numbers of the box, confidence")
    if not all(map(_is_number, fields)):
        raise DataError(f"{where}: {' '.join(fields)[:60]!r} is not all numbers; write it again")
    numbers = list(map(float, fields))
    record = {"file_name": name, "category_id": numbers[0], "bbox": numbers[1:5], "score": numbers[5]}
    return checked_record(record, where, box_format)
