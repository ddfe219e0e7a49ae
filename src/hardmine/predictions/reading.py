"""Which form a path holds, and the door to all of them: `read_found`.

a folder    *.parquet: shards.  *.txt, here or in labels/: YOLO.  predictions.json, samples.json, labels.json or the
            only *.json: that file.
a file      .parquet, or JSON whatever its name, packed by gzip or not:
            [{"image_id": ...}]                  COCO results
            {"annotations": [...]}               COCO data set whose annotations have scores
            one object a line                    COCO results
            {"classes": ..., "labels": {...}}    FiftyOne's image detection data set
            {"samples": [...]}                   FiftyOne's own export
            [{"data": ..., "predictions": ...}]  Label Studio's tasks
"""

import json
import zlib
from pathlib import Path
from typing import Any

from hardmine.errors import DataError
from hardmine.predictions import coco, fiftyone, label_studio, parquet, yolo
from hardmine.predictions.found import Found
from hardmine.reading import read_bytes

__all__ = ["holds_parquet", "read_found", "read_json"]

GZIP = b"\x1f\x8b"
LARGEST = 2**36
"""Bytes of a file of results: far more than memory takes."""
MOST_GROWTH = 200
"""How many times as large gzip may make a file: JSON of numbers grows ten times."""
EXPORTS = ("predictions.json", "samples.json", "labels.json")


def read_found(path: Path, box_format: str | None = None) -> Found:
    """Predictions in any form.

    Raises: DataError: nothing there that is read, or a record that is none; the message names file and record.
    """
    if path.is_dir():
        return _read_folder(path, box_format)
    if holds_parquet(path):
        return parquet.read(path, box_format)
    document = read_json(path)
    for reader in (coco, fiftyone, label_studio):
        if reader.fits(document):
            return reader.read(document, str(path), box_format)
    raise DataError(
        f"{path}: expected a list of COCO results, got {type(document).__name__}; other forms that are read: "
        "COCO annotations with scores, a folder of YOLO text files, Parquet, exports of FiftyOne and Label Studio"
    )


def holds_parquet(path: Path) -> bool:
    """Whether it is a Parquet file or a folder of shards."""
    return any(path.glob("*.parquet")) if path.is_dir() else path.suffix == ".parquet"


def _read_folder(path: Path, box_format: str | None) -> Found:
    if holds_parquet(path):
        return parquet.read(path, box_format)
    for folder in (path, path / "labels"):
        if folder.is_dir() and any(folder.rglob("*.txt")):
            return yolo.read(folder, box_format)
    named = [path / name for name in EXPORTS if (path / name).is_file()] or sorted(path.glob("*.json"))
    if len(named) == 1:
        return read_found(named[0], box_format)
    found = ", ".join(file.name for file in named[:5]) or "none of them"
    raise DataError(f"{path}: expected *.parquet, *.txt (YOLO) or one *.json with predictions; it has {found}")


def read_json(path: Path) -> Any:
    """A JSON document, or the objects of JSON lines as a list; packed by gzip or not.

    Raises: DataError: it cannot be read, or is neither.
    """
    content = _unpacked(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        lines = _json_lines(content)
        if lines is not None:
            return lines
        raise DataError(f"{path}: not valid JSON ({error}); write the predictions again") from error


def _unpacked(path: Path) -> bytes:
    try:
        content = read_bytes(path, LARGEST)
        if not content.startswith(GZIP):
            return content
        unpacker = zlib.decompressobj(wbits=31)
        limit = max(2**26, MOST_GROWTH * len(content))
        unpacked = unpacker.decompress(content, limit)
    except (DataError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); give a file of predictions, packed by gzip or not"
        ) from error
    if not unpacker.eof or unpacker.unconsumed_tail:
        raise DataError(f"{path}: cannot be read (gzip ends early, or grows beyond {limit:,} bytes); pack it again")
    return unpacked


def _json_lines(content: bytes) -> list[Any] | None:
    try:
        lines = content.decode(json.detect_encoding(content)).split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        return None
    return records if records and all(isinstance(record, dict) for record in records) else None
