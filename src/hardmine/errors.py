"""What can go wrong, as one tree.

HardmineError           anything a user can put right; the message says what was got, what was expected and the remedy
├── ConfigError         an argument, an option or a name that does not exist
├── EvidenceError       a method needs evidence that its slot does not have
├── ShapeError          tensors that do not belong together
├── DataError           a data set, or a record of it, that cannot be used
└── RunError            a run folder or checkpoint that cannot be written, read or continued
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["ConfigError", "DataError", "EvidenceError", "HardmineError", "RunError", "ShapeError", "check_name"]


class HardmineError(ValueError):
    """Anything a user can put right. The message is one paragraph and names the remedy."""


class ConfigError(HardmineError):
    """An argument out of its range, an unknown option or name, or options that exclude each other."""


class EvidenceError(HardmineError):
    """A method needs evidence (losses, boxes, ...) that the slot it was put into does not have."""


class ShapeError(HardmineError):
    """Tensors whose shapes do not belong together."""


class DataError(HardmineError):
    """A data set, or a record of it, that cannot be used. Names the file and the record."""


class RunError(HardmineError):
    """A run folder or checkpoint that cannot be written, read or continued."""


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ConfigError if there is no such name, with up to three that look like it, or all if none does."""
    known = list(known)
    if name in known:
        return
    nearest = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are: {', '.join(known) or 'none'}"
    raise ConfigError(f"unknown {kind} {name!r}; {hint}")
