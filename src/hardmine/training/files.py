"""Writing files that are either the old or the new one, never half of both.

A run may be killed at any moment and a disk may be full at any write, so everything in a run folder goes through here.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from hardmine.errors import RunError

__all__ = ["is_taken", "write_atomically", "write_json"]


def is_taken(path: Path) -> bool:
    """Whether something would be overwritten: a file is there, or a folder that is not empty."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file in one step: after a crash the old content is there, or the new, and nothing else.

    Raises:
        RunError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # a name that is too long cannot even be removed
            unfinished.unlink()
        raise RunError(
            f"cannot write {path} ({error.strerror or error}); what was there before is kept. "
            "Make room, or check the folder's permissions, and start again; a training goes on with --resume"
        ) from error


def write_json(path: Path, content: object) -> None:
    """Writes indented JSON; NaN is refused, because other readers of JSON refuse it."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
