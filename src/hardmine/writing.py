"""Writing files that are either the old or the new one, never half of both.

A run may be killed at any moment and a disk may be full at any write, so everything in a run folder goes through here.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hardmine.errors import RunError, what_failed

__all__ = ["as_json", "is_taken", "list_as_json", "lists_as_json", "write_atomically", "write_json", "write_new"]

UNFINISHED = ".part"


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


def list_as_json(records: Sequence[Any]) -> bytes:
    """A list as JSON, a record a line: what is long is read by programs, and looked at by people in part."""
    lines = msgspec.json.Encoder().encode_lines(records)
    return b"[\n" + lines[:-1].replace(b"\n", b",\n") + b"\n]" if records else b"[]"


def lists_as_json(lists: Mapping[str, Sequence[Any]]) -> bytes:
    """An object of lists as JSON, a record a line."""
    named = (msgspec.json.encode(name) + b": " + list_as_json(records) for name, records in lists.items())
    return b"{" + b",\n".join(named) + b"}\n"


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
            "a training goes on with --resume"
        ) from error


def _unfinished_name(path: Path, process: int | None = None) -> str:
    """Short enough wherever the name itself is: 60 characters are at most 240 of the 255 bytes that a name may have."""
    return f".{path.name[:60]}{process or ''}{UNFINISHED}"


def _is_unfinished(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(UNFINISHED)
