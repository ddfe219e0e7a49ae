"""Files that others wrote, in bounded time and memory: regular files only, only so large, in the encoding they name.

A pipe would be waited for without end and a device read without end, so what is no regular file is refused unopened.
"""

import codecs
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hardmine.errors import DataError, what_failed

__all__ = ["LARGEST", "check_regular", "parse_json", "read_bytes", "read_pieces", "read_text"]

LARGEST = 64 * 2**20
"""Bytes that a file of text beside images may have: labels of one image, a list of files, a configuration."""
_AT_A_TIME = 2**22
_MARKS = {  # the longer first: UTF-32's mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
"""How a file says in which encoding it is; without a mark it is UTF-8."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: Path, limit: int | None = None) -> None:
    """Looks at a file without opening it, for readers that are not ours.

    Raises: DataError: it is not there or no regular file, or it has more than `limit` bytes.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {what_failed(error)}") from error
    except ValueError as error:  # characters that no file name can have
        raise DataError(f"cannot read {str(path)!r}: {error}; expected the name of a file") from error
    if not stat.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        raise DataError(f"cannot read {path}: it is {kind}; expected a regular file")
    if limit is not None and facts.st_size > limit:
        raise DataError(f"cannot read {path}: it has {facts.st_size:,} bytes; expected at most {limit:,}")


def read_bytes(path: Path, limit: int = LARGEST) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises: DataError: as `check_regular`, or it cannot be read.
    """
    return b"".join(read_pieces(path, limit))


def read_pieces(path: Path, limit: int = LARGEST) -> Iterator[bytes]:
    """The same piece by piece, so that no more is in memory. Raises: as `read_bytes`, once the piece is asked for."""
    check_regular(path, limit)
    num_bytes = 0
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_AT_A_TIME):
                num_bytes += len(piece)
                if num_bytes > limit:  # files of the kernel's own say that they are empty
                    raise DataError(f"cannot read {path}: it has more than {limit:,} bytes; expected fewer")
                yield piece
    except OSError as error:
        raise DataError(f"cannot read {path}: {what_failed(error)}") from error


def read_text(path: Path, limit: int = LARGEST) -> str:
    """The text of a file in UTF-8, or in what its byte-order mark says; the mark itself is left out.

    Raises: DataError: as `read_bytes`, or it is not text in that encoding.
    """
    content = read_bytes(path, limit)
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: cannot be read as {encoding}, byte {error.start}: {error.reason}; "
            "expected text in UTF-8, or in UTF-16 with a byte-order mark; save it so"
        ) from error


def parse_json(content: str | bytes) -> Any:
    """A JSON document as `json.loads` reads it: with NaN, infinities, any encoding, and its errors, which say the line.

    What is JSON by the standard is read by msgspec, several times as fast; a test holds that it is read alike.

    Raises: ValueError, RecursionError: as `json.loads`.
    """
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return json.loads(content)
