"""A mistyped name is answered with the nearest ones that exist."""

from collections.abc import Iterable
from difflib import get_close_matches

from hardmine.errors import ConfigError

__all__ = ["check_name"]


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ConfigError if there is no such name, with up to three that look like it, or all if none does."""
    known = list(known)
    if name in known:
        return
    nearest = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are: {', '.join(known) or 'none'}"
    raise ConfigError(f"unknown {kind} {name!r}; {hint}")
