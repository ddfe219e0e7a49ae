"""Writing files that are either the old or the new one, never half of both.

A run may be killed at any moment and a disk may be full at any write, so everything in a run folder goes through here.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec

from hardmine.errors import RunError, what_failed

__all__ = ["as_json", "is_taken", "write_atomically", "write_json", "write_list", "write_lists", "write_new"]

UNFINISHED = ".part"
_ENCODER = msgspec.json.Encoder()


def is_taken(path: Path) -> bool:
    """Whether something would be overwritten: a file, or a folder with more than what a killed process left unfinished.

    Raises: RunError: nobody can tell, because the path cannot be looked at.
    """
    try:
        return any(not _is_unfinished(file) for file in path.iterdir()) if path.is_dir() else path.exists()
    except OSError as error:
        raise RunError(f"cannot look at {path}: {what_failed(error)}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file in one step: after a crash the old content is there, or the new, and nothing else.

    Raises: RunError: it cannot be written, with what helps; the old file is untouched.
    """
    _write(path, content, path.with_name(_unfinished_name(path)))


def write_new(path: Path, content: bytes) -> None:
    """Writes a file that was not there; what another process has written meanwhile is not replaced.

    Raises: RunError: it cannot be written, or is there already.
    """
    _write(path, content, path.with_name(_unfinished_name(path, os.getpid())), is_new=True)


def write_json(path: Path, content: object) -> None:
    """Writes indented JSON; NaN is refused, because other readers of JSON refuse it."""
    write_atomically(path, as_json(content))


def as_json(content: object) -> bytes:
    """Indented JSON; NaN is refused, because other readers of JSON refuse it."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def write_list(path: Path, records: Iterable[Any]) -> None:
    """Writes a JSON list, a record a line, of which only one need be in memory. Not in one step, as other files are."""
    with path.open("wb") as stream:
        stream.writelines(_list_in_lines(records))
        stream.write(b"\n")


def write_lists(path: Path, lists: Mapping[str, Iterable[Any]]) -> None:
    """Writes a JSON object of lists, likewise."""
    with path.open("wb") as stream:
        for before, (name, records) in zip(chain([b"{"], repeat(b",\n")), lists.items(), strict=False):
            stream.writelines([before, msgspec.json.encode(name), b": "])
            stream.writelines(_list_in_lines(records))
        stream.write(b"}\n")


def _list_in_lines(records: Iterable[Any]) -> Iterator[bytes]:
    before = b"[\n"
    for record in records:
        yield before + _in_a_line(record)
        before = b",\n"
    yield b"\n]" if before == b",\n" else b"[]"


def _in_a_line(record: Any) -> bytes:
    try:
        return _ENCODER.encode(record)
    except UnicodeEncodeError:  # half a character, which only an escape can say
        return json.dumps(record, allow_nan=False).encode()


def _write(path: Path, content: bytes, unfinished: Path, *, is_new: bool = False) -> None:
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if is_new:
            path.touch(exist_ok=False)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # what could not be made cannot be removed
            unfinished.unlink()
        raise RunError(
            f"cannot write {path}: {what_failed(error)}. What was there before is kept; "
            "a command that has --resume goes on with it"
        ) from error


def _unfinished_name(path: Path, process: int | None = None) -> str:
    """Short enough wherever the name itself is: 60 characters are at most 240 of the 255 bytes that a name may have."""
    return f".{path.name[:60]}{process or ''}{UNFINISHED}"


def _is_unfinished(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(UNFINISHED)
