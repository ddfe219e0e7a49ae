"""The words by which data sets call their splits, and their order."""

import re
from collections.abc import Iterable, Sequence

from hardmine.errors import DataError

__all__ = ["SPLIT_WORD", "canonical_split", "choose_split", "order_splits"]

# "instances_train2017": the word stands alone or before digits, never inside another word ("interval", "latest").
SPLIT_WORD = re.compile(
    r"(?<![a-z])(trainval|training|train|validation|valid|minival|val|testing|test|all)(?![a-z])", re.IGNORECASE
)
_SYNONYMS = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
_ORDER = ("train", "val", "test", "trainval")


def canonical_split(name: str) -> str:
    """The split's usual short name ("valid" is "val"); names we do not know stay as they are."""
    return _SYNONYMS.get(name.lower(), name.lower() if name.lower() in _ORDER else name)


def order_splits(names: Iterable[str]) -> tuple[str, ...]:
    """Train, val, test, trainval, then the others by name."""
    return tuple(sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)))


def choose_split(asked: str | None, default: str | None, splits: Sequence[str], where: str) -> str:
    """The split that was asked for, else the default, else the only one.

    Raises: DataError: no such split, or several and none asked for; the message names those that exist.
    """
    wanted = asked or default or (splits[0] if len(splits) == 1 else "")
    for name in (wanted, canonical_split(wanted)):
        if name in splits:
            return name
    got = f"there is no split {wanted!r}" if wanted else "no split was asked for"
    raise DataError(f"{where}: {got}; choose one of {', '.join(splits) or '(none found)'}")
