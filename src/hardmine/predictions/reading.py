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

import codecs
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from hardmine.errors import DataError
from hardmine.files.reading import parse_json, read_pieces
from hardmine.predictions import coco, fiftyone, label_studio, parquet, yolo
from hardmine.predictions.found import Found
from hardmine.predictions.records_in_text import SPACE, Values, records_in_lines, records_in_list

__all__ = ["holds_parquet", "read_found", "read_json", "results_in_parts"]

GZIP = b"\x1f\x8b"
AT_A_TIME = 2**22
"""Bytes that are unpacked at once."""
LARGEST = 2**36
"""Bytes of a file of results: far more than memory takes."""
MOST_GROWTH = 200
"""How many times as large gzip may make a file: JSON of numbers grows ten times."""
SURELY = 2**26
"""Bytes that it may always have."""
EXPORTS = ("predictions.json", "samples.json", "labels.json")


def read_found(path: str | Path, box_format: str | None = None, *, classes: bool = True) -> Found:
    """Predictions in any form.

    Args: classes: False: Parquet without classes will do.
    Raises: DataError: nothing there that is read, or a record that is none; the message names file and record.
    """
    path = Path(path)
    if holds_parquet(path):
        return parquet.read(path, box_format, classes=classes)
    if path.is_dir():
        return _read_folder(path, box_format)
    parts = results_in_parts(path, box_format)
    if parts is not None:
        return Found(pl.concat(parts), box_format or coco.BOX_FORMAT, str(path), lambda row: f"{path}, record {row}")
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
    for folder in (path, path / "labels"):
        if folder.is_dir() and any(folder.rglob("*.txt")):
            return yolo.read(folder, box_format)
    named = [path / name for name in EXPORTS if (path / name).is_file()] or sorted(path.glob("*.json"))
    if len(named) == 1:
        return read_found(named[0], box_format)
    found = ", ".join(file.name for file in named[:5]) or "none of them"
    raise DataError(f"{path}: expected *.parquet, *.txt (YOLO) or one *.json with predictions; it has {found}")


def results_in_parts(path: Path, box_format: str | None = None) -> Iterator[pl.DataFrame] | None:
    """The rows of COCO results, a list or one a line, so many at a time as take little memory; None: another form.

    Raises: DataError: as `read_found`, once the part with it is asked for.
    """
    form = box_format or coco.BOX_FORMAT
    values = _told(path, _records(_texts(path), form))
    first = next(values, None)
    return None if first is None else coco.rows_of_parts(chain([first], values), str(path), form)


def _records(texts: Iterator[str], box_format: str) -> Iterator[Values]:
    """The records in parts; none at all, not even an empty part, where the text is something else."""
    start = next(texts)
    is_list = start.lstrip(SPACE).startswith("[")
    read = records_in_list if is_list else records_in_lines if _starts_with_line(start) else None
    values = read(chain([start], texts), box_format) if read else iter(())
    first = next(values, None)
    if first is None or any(label_studio.is_task(value) for value in first[:1]):
        return
    yield first
    yield from values


def _starts_with_line(text: str) -> bool:
    """Whether there is an object on the first line, and something on another."""
    line, _, others = text.lstrip(SPACE).partition("\n")
    try:
        return bool(others.strip(SPACE)) and isinstance(parse_json(line), dict)
    except (ValueError, RecursionError):
        return False


def read_json(path: Path) -> Any:
    """A JSON document, or the objects of JSON lines as a list; packed by gzip or not.

    Raises: DataError: it cannot be read, or is neither.
    """
    content = b"".join(_pieces(path))
    with _as_json(path):
        try:
            return parse_json(content)
        except (ValueError, RecursionError):
            lines = _json_lines(content)
            if lines is None:
                raise
            return lines


@contextmanager
def _as_json(path: Path) -> Iterator[None]:
    """Raises: DataError: what is done inside finds that it is none."""
    try:
        yield
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); write the predictions again") from error


def _told(path: Path, values: Iterator[Values]) -> Iterator[Values]:
    with _as_json(path):
        yield from values


def _texts(path: Path) -> Iterator[str]:
    """The text in the encoding that it is in, as `json.loads` finds it; at least one, be it empty."""
    pieces = _pieces(path)
    first = next(pieces, b"")
    decoder = codecs.getincrementaldecoder(json.detect_encoding(first))("surrogatepass")
    num_bytes = 0
    for piece in chain([first], pieces):
        try:
            yield decoder.decode(piece)
        except UnicodeDecodeError as error:
            raise ValueError(f"{error.encoding}, byte {num_bytes + error.start}: {error.reason}") from error
        num_bytes += len(piece)
    if rest := decoder.decode(b"", final=True):
        yield rest


def _pieces(path: Path) -> Iterator[bytes]:
    """The content, unpacked where it is packed."""
    try:
        pieces = read_pieces(path, LARGEST)
        first = next(pieces, b"")
        whole = chain([first], pieces)
        yield from _unpacked(whole) if first.startswith(GZIP) else whole
    except (DataError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); give a file of predictions, packed by gzip or not"
        ) from error


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Of several packed files in one, all. Raises: DataError: gzip ends early, or grows too much."""
    unpacker, num_packed, num_bytes = zlib.decompressobj(wbits=31), 0, 0
    for piece in pieces:
        num_packed += len(piece)
        rest, part = piece, b""
        while rest or part:
            if unpacker.eof:
                rest = rest.lstrip(b"\0")  # gzip may be padded
                if not rest:
                    break
                unpacker = zlib.decompressobj(wbits=31)
            part = unpacker.decompress(rest, AT_A_TIME)
            rest = unpacker.unused_data or unpacker.unconsumed_tail
            num_bytes += len(part)
            if num_bytes > (limit := max(SURELY, MOST_GROWTH * num_packed)):
                raise DataError(f"gzip grows beyond {limit:,} bytes")
            if part:
                yield part
    if not unpacker.eof:
        raise DataError("gzip ends early")


def _json_lines(content: bytes) -> list[Any] | None:
    try:
        lines = content.decode(json.detect_encoding(content)).split("\n")
        records = [parse_json(line) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        return None
    return records if records and all(isinstance(record, dict) for record in records) else None
