"""What stands between an error and the user: one line for what a user can put right, nothing hidden of what is our bug.

The machine and the libraries under us have errors of their own. Those that come from what is outside (a disk, a file,
memory) become one line here, and nowhere else; all others are bugs and keep their traceback. A line about an error of
another library says where in our code it arose, so that a bug among these can be told too.
"""

import os
import re
import traceback
import zlib
from pathlib import Path

from hardmine.errors import HardmineError, what_failed
from hardmine.files.printable import printable

__all__ = ["explain_failure"]

PACKAGE = Path(__file__).parents[1]
_MEANINGS: dict[type[BaseException], str] = {
    UnicodeError: "a name or a text holds characters that cannot be written or read; rename it, or save it as UTF-8",
    RecursionError: "a file is nested too deeply to be what it should be",
    MemoryError: "memory is full; lower --batch-size, --image-size or --memory, or split the file",
    zlib.error: "a compressed file is damaged; get it again",
    EOFError: "a compressed file ends too early; get it again",
}
_MEANINGS_BY_NAME = {  # of classes that are a library's own, or not worth importing it for, and of all that are such
    "OutOfMemoryError": "the GPU's memory is full; lower --batch-size or --image-size",
    "PolarsError": "a table cannot be read or written",
    "PanicException": "a file is damaged so that its reader gave up",
    "SafetensorError": "a file of weights is damaged; restore it from a copy",
}


def explain_failure(error: BaseException) -> str | None:
    """One line on an error that does not come from our own mistakes; None: it does."""
    message = _without_worker_trace(error)
    if isinstance(error, HardmineError):
        return printable(message)
    if isinstance(error, OSError):
        return printable(f"{_files_of(error)}{what_failed(error)}")
    meaning = _meaning_of(error)
    if meaning is None:
        return None
    if isinstance(error, Exception) and "PolarsError" in _kinds_of(error):
        message = what_failed(error)
    return printable(f"{meaning}: {message} ({type(error).__name__} in {_place_of(error)})")


def _meaning_of(error: BaseException) -> str | None:
    known = [meaning for kind, meaning in _MEANINGS.items() if isinstance(error, kind)]
    by_name = [meaning for name, meaning in _MEANINGS_BY_NAME.items() if name in _kinds_of(error)]
    return next(iter(known + by_name), None)


def _kinds_of(error: BaseException) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _files_of(error: OSError) -> str:
    return "".join(
        f"{os.fsdecode(file)}: " for file in (error.filename, error.filename2) if isinstance(file, str | bytes)
    )


def _place_of(error: BaseException) -> str:
    """The innermost line of ours that the error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if PACKAGE in Path(frame.filename).parents]
    return f"{Path(ours[-1].filename).relative_to(PACKAGE)}, line {ours[-1].lineno}" if ours else "another library"


def _without_worker_trace(error: BaseException) -> str:
    """The message alone, where a process that loads images has put its traceback before it."""
    traced = re.search(rf"Original Traceback.*?^(?:\w+\.)*{type(error).__name__}: (.*)", str(error), re.M | re.S)
    return traced[1] if traced else str(error)
