"""Records out of JSON text of any length, a piece at a time: a list of them, or one a line.

    [{"image_id": 139, ...}, {"image_id": 139, ...}, ...        {"image_id": 139, ...}
                                                                {"image_id": 139, ...}

Records that are all plain are decoded straight into numbers and names. Any others go through the standard library's
parser, which also takes what is no JSON but is written (NaN), and says what is wrong and where.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from hardmine.files.reading import LARGEST
from hardmine.predictions.plain_records import plain_list, plain_record

__all__ = ["SPACE", "Values", "records_in_lines", "records_in_list"]

SPACE = " \t\n\r"
BLANKS = re.compile(f"[{SPACE}]*")
STARTS_TRIED = 8
"""Last braces of a piece at which a record may begin: those inside of a record come after its own."""

Values = list[Any]


def records_in_list(texts: Iterator[str], box_format: str) -> Iterator[Values]:
    """The values of a list, those of a piece of text at a time: all of them a `PlainRecord`, or all as Python has JSON.

    Raises: ValueError, RecursionError: it is no JSON; as `json.loads` says it of the whole.
    """
    decoder = msgspec.json.Decoder(plain_list(box_format))
    first = next(texts)
    start = _after_space(first, 0) + 1  # the bracket
    return _values(first[start:], texts, _InList(decoder.decode), _Place().after(first[:start]))


def records_in_lines(texts: Iterator[str], box_format: str) -> Iterator[Values]:
    """The same of lines with an object each. Raises: ValueError, RecursionError: a line is none."""
    decoder = msgspec.json.Decoder(plain_record(box_format))
    return _values("", texts, _InLines(decoder.decode_lines), _Place())


def _values(rest: str, texts: Iterator[str], form: "_Form", place: "_Place") -> Iterator[Values]:
    """What is left of the text before goes before the next. place: where the rest begins."""
    try:
        for text in texts:
            values, end = form.whole(rest)
            if values:
                yield values
            place, rest = place.after(rest[:end]), rest[end:] + text
            if len(rest) > LARGEST:
                break
        yield form.last(rest)
    except json.JSONDecodeError as error:
        at = place.after(rest[: error.pos])
        raise ValueError(f"{error.msg}: line {at.line} column {at.column} (char {at.chars})") from error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the whole text a piece of it begins: after so many characters, in this line and column."""

    chars: int = 0
    line: int = 1
    column: int = 1

    def after(self, text: str) -> "_Place":
        lines = text.count("\n")
        column = len(text) - text.rfind("\n") if lines else self.column + len(text)
        return _Place(self.chars + len(text), self.line + lines, column)


class _Form(ABC):
    """How values follow one another."""

    def __init__(self, decode: Callable[[str], Values]):
        self._decode = decode

    @abstractmethod
    def whole(self, rest: str) -> tuple[Values, int]:
        """The values that end in a text, and where the first that does not begins."""

    @abstractmethod
    def last(self, rest: str) -> Values:
        """The values of the last text. Raises: json.JSONDecodeError: of the text, it is none."""

    def plain(self, text: str) -> Values | None:
        """The values, if all are plain records."""
        try:
            return self._decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None


class _InList(_Form):
    """A text begins where a value is expected; the first may begin at the end of an empty list."""

    _is_first = True

    def whole(self, rest: str) -> tuple[Values, int]:
        # what is JSON up to a comma before a brace ends there: a comma within a value would leave that unfinished
        for comma in _commas_before_braces(rest):
            values = self.plain(f"[{rest[:comma]}]")
            if values:
                self._is_first = False
                return values, comma + 1
        values, end = self._any(rest)
        self._is_first = self._is_first and not end
        return values, end

    def last(self, rest: str) -> Values:
        start = _after_space(rest, 0)
        if not self._is_first and rest[start : start + 1] == "]":
            raise json.JSONDecodeError("Expecting value", rest, start)
        text = f"[{rest}"
        values = self.plain(text)
        try:
            return json.loads(text) if values is None else values
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg, rest, error.pos - 1) from error

    def _any(self, rest: str) -> tuple[Values, int]:
        values, end, decode = [], 0, json.JSONDecoder().raw_decode
        while True:
            try:
                value, stop = decode(rest, _after_space(rest, end))
            except ValueError:  # it goes on in the next text, or `last` will say what is wrong
                return values, end
            stop = _after_space(rest, stop)
            if rest[stop : stop + 1] != ",":
                return values, end
            values.append(value)
            end = stop + 1


class _InLines(_Form):
    """A text begins with a line."""

    def whole(self, rest: str) -> tuple[Values, int]:
        end = rest.rfind("\n") + 1
        return self.last(rest[:end]), end

    def last(self, rest: str) -> Values:
        values = self.plain(rest)
        if values is not None and len(values) == sum(map(bool, map(str.strip, rest.split("\n")))):
            return values
        return list(_objects(rest))  # also where records share a line, or lines a record, which is refused


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """One of each line that is not blank."""
    start = 0
    for line in text.split("\n"):
        try:
            value = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg, text, start + error.pos) from error
        if not isinstance(value, dict):
            raise json.JSONDecodeError("Expecting an object", text, start)
        if line.strip():
            yield value
        start += len(line) + 1


def _commas_before_braces(text: str) -> Iterator[int]:
    """Of the last braces that open in a text, where the comma before each is; those without one left out."""
    brace = len(text)
    for _ in range(STARTS_TRIED):
        brace = text.rfind("{", 0, brace)
        if brace < 0:
            return
        before = text[max(0, brace - 100) : brace].rstrip(SPACE)
        if before.endswith(","):
            yield max(0, brace - 100) + len(before) - 1


def _after_space(text: str, place: int) -> int:
    found = BLANKS.match(text, place)
    return found.end() if found else place
