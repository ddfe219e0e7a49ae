"""What can go wrong, as one tree.

HardmineError           anything a user can put right; the message says what was got, what was expected and the remedy
├── ConfigError         an argument, an option or a name that does not exist
├── EvidenceError       a method needs evidence that its slot does not have
├── FrameworkError      a version of a framework whose losses are not those that were compared
├── ShapeError          tensors that do not belong together
├── DataError           a data set, or a record of it, that cannot be used
└── RunError            a run folder or checkpoint that cannot be written, read or continued
    └── DivergedError   a training whose loss is no number any more
"""

import errno
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ConfigError",
    "DataError",
    "DivergedError",
    "EvidenceError",
    "FrameworkError",
    "HardmineError",
    "RunError",
    "ShapeError",
    "check_name",
    "what_failed",
]

_NO_PERMISSION = "change its permissions, or choose another place"
_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: "choose a place that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "expected a file",
    errno.EEXIST: "choose another name",
    errno.ENOTEMPTY: "choose another name",
    errno.ELOOP: "check the path: links lead in a circle",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.EFBIG: "allow larger files (ulimit -f), or choose another disk",
    errno.EIO: "check the disk, or its connection",
    errno.ESTALE: "check the disk, or its connection",
}
"""What helps against each error of the system: a full disk is not a missing permission."""
_LONGEST_REASON = 300  # characters of a message that another library wrote


class HardmineError(ValueError):
    """Anything a user can put right. The message is one paragraph and names the remedy."""


class ConfigError(HardmineError):
    """An argument out of its range, an unknown option or name, or options that exclude each other."""


class EvidenceError(HardmineError):
    """A method needs evidence (losses, boxes, ...) that the slot it was put into does not have."""


class FrameworkError(HardmineError):
    """A version of a framework that was not tried, or that computes its losses in another way than those tried."""


class ShapeError(HardmineError):
    """Tensors whose shapes do not belong together."""


class DataError(HardmineError):
    """A data set, or a record of it, that cannot be used. Names the file and the record."""


class RunError(HardmineError):
    """A run folder or checkpoint that cannot be written, read or continued."""


class DivergedError(RunError):
    """A training whose loss or weights are not finite any more."""


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ConfigError if there is no such name, with up to three that look like it, or all if none does."""
    known = list(known)
    if name in known:
        return
    nearest = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are: {', '.join(known) or 'none'}"
    raise ConfigError(f"unknown {kind} {name!r}; {hint}")


def what_failed(error: Exception) -> str:
    """What the system says is wrong, and what helps: for messages that name the file themselves.

    Args: error: an OSError, or an error of Polars, which has the system's number in its words only.
    """
    number = _number_of(error)
    reason = os.strerror(number) if number else " ".join(str(error).split())[:_LONGEST_REASON]
    remedy = _REMEDIES.get(number)
    return f"{reason}; {remedy}" if remedy else reason


def _number_of(error: Exception) -> int:
    """The system's number of an error; 0: it has none."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return getattr(error, "errno", None) or (int(found[1]) if found else 0)
