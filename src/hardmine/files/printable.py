"""Names and messages of others as text that does nothing to a terminal."""

import re

__all__ = ["LONGEST_LINE", "escaped", "printable"]

LONGEST_LINE = 1200


def escaped(text: str) -> str:
    """All of the text on one line, with what would steer a terminal shown as its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """A message as one line of bounded length: line breaks become spaces, the rest as `escaped`; both ends are kept."""
    line = escaped(re.sub(r"\s*[^\S ]\s*", " ", text).strip())
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
