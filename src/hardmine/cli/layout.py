"""Tables that fit the width they are given: what a table is, and the one function that lays it out.

    1  side by side           every column, titles folded, words folded, file names shortened
    2  one under another      as many columns as fit, the key before each part
    3  a record after another "title: value", folded where a value is wider than a line

The first form that fits is taken. Keys and numbers are never cut; a file name is shortened in its middle so that no two
look alike, or else stands whole in the third form.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Literal

from rich.cells import cell_len

from hardmine.files.printable import escaped

__all__ = ["Cell", "Column", "Role", "Table", "fold", "lay_out", "shorten", "table_of"]

Role = Literal["key", "number", "file", "words"]
Cell = str | Sequence[str]
"""One line, or several."""

NARROWEST = 20
"""No line is made shorter than so many columns, whatever a terminal says of itself."""
SHORTEST_FILE = 16
GAP, INDENT = "  ", "  "
CUT, RULE = "…", "─"
HEAD_SHARE = 0.25
"""Of what is left of a shortened name, the share of its beginning: names mostly differ at their end."""


@dataclass(frozen=True, slots=True)
class Column:
    """A title, and what stands under it.

    role: "key" tells rows apart, or is read as a whole: never cut, folded only where it is wider than a line.
        "number" likewise, to the right.  "file" may be shortened in its middle.  "words" are folded between words.
    """

    title: str
    role: Role = "key"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of cells, the first of which is what a row is about; `caption` stands above."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


def table_of(*columns: str | Column, rows: Sequence[Sequence[Cell]], caption: str = "") -> Table:
    """A table of columns; those that are no more than a title are keys."""
    return Table([Column(column) if isinstance(column, str) else column for column in columns], rows, caption)


def lay_out(table: Table, width: int, encoding: str = "utf-8") -> list[str]:
    """The table as lines of at most so many columns of a terminal, and of at least 20.

    Args: encoding: of where it is shown; what that lacks is escaped, and the lines are drawn with what it has.
    """
    width = max(width, NARROWEST)
    shown = _Shown.of(table, encoding)
    body = next(lines for form in (_side_by_side, _one_under_another, _records) if (lines := form(shown, width)))
    caption = fold(_in_encoding(escaped(table.caption), encoding), width) if table.caption else []
    return [_drawn_with(line, encoding) for line in [*caption, *body]]


def fold(text: str, width: int) -> list[str]:
    """The text in lines of this width, broken between words, and within one only where it is wider than a line."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width:
            lines[-1] = joined
            continue
        pieces = _chopped(word, width)
        lines[-1:] = [*([lines[-1]] if lines[-1] else []), *pieces]
    return lines


def shorten(name: str, width: int) -> str:
    """The name with its middle left out where it is wider; its end stays, which tells images apart."""
    if cell_len(name) <= width:
        return name
    head = _taken(name, int((width - 1) * HEAD_SHARE))
    return f"{head}{CUT}{_end_of(name, width - 1 - cell_len(head))}"


@dataclass(frozen=True, slots=True)
class _Shown:
    """A table whose cells are lists of lines without anything that steers a terminal."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Sequence[str]]]

    @classmethod
    def of(cls, table: Table, encoding: str) -> "_Shown":
        def lines(cell: Cell) -> list[str]:
            return [_in_encoding(escaped(line), encoding) for line in ([cell] if isinstance(cell, str) else cell)]

        columns = [replace(column, title=lines(column.title)[0]) for column in table.columns]
        return cls(columns, [[lines(cell) for cell in row] for row in table.rows])

    def part(self, places: Sequence[int]) -> "_Shown":
        return _Shown([self.columns[place] for place in places], [[row[p] for p in places] for row in self.rows])

    def lines_of(self, place: int) -> Iterator[str]:
        return chain.from_iterable(row[place] for row in self.rows)

    def natural(self, place: int) -> int:
        return max(map(cell_len, (self.columns[place].title, *self.lines_of(place))))

    def narrowest(self, place: int) -> int:
        """The width that the column needs."""
        column = self.columns[place]
        title = _longest_word(column.title)
        if column.role == "words":
            return max(title, *map(_longest_word, self.lines_of(place)), 0)
        if column.role == "file":
            return max(title, _width_that_tells_apart(list(self.lines_of(place))))
        return max(title, *map(cell_len, self.lines_of(place)), 0)


def _side_by_side(shown: _Shown, width: int) -> list[str]:
    places = range(len(shown.columns))
    widths, least = [shown.natural(place) for place in places], [shown.narrowest(place) for place in places]
    room = width - len(GAP) * (len(widths) - 1)
    if sum(least) > room:
        return []
    while sum(widths) > room:
        widest = max((place for place in places if widths[place] > least[place]), key=lambda place: widths[place])
        widths[widest] -= 1
    roles: list[Role] = [column.role for column in shown.columns]
    heads = [fold(column.title, wide) for column, wide in zip(shown.columns, widths, strict=True)]
    rows = [
        [_fitted(cell, role, wide) for cell, role, wide in zip(row, roles, widths, strict=True)] for row in shown.rows
    ]
    widths = [max(map(cell_len, chain(*column))) for column in zip(heads, *rows, strict=True)]
    high = max(map(len, heads))
    titles = [[""] * (high - len(lines)) + lines for lines in heads]
    rule = RULE * (sum(widths) + len(GAP) * (len(widths) - 1))
    return [*_beside(titles, roles, widths), rule, *chain.from_iterable(_beside(row, roles, widths) for row in rows)]


def _one_under_another(shown: _Shown, width: int) -> list[str]:
    """Parts of the columns, each after the first column; none where that does not tell the rows apart as a whole, or
    a part is wider than a line.
    """
    keys = {tuple(row[0]) for row in shown.rows}
    if shown.columns[0].role == "file" or len(keys) < len(shown.rows):
        return []
    first, parts, lines = shown.narrowest(0), [[0]], list[str]()
    room = {place: len(GAP) + shown.narrowest(place) for place in range(1, len(shown.columns))}
    for place, needed in room.items():
        if first + sum(room[other] for other in parts[-1][1:]) + needed > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(place)
    for part in parts:
        laid_out = _side_by_side(shown.part(part), width)
        if not laid_out:
            return []
        lines += [*([""] if lines else []), *laid_out]
    return lines


def _records(shown: _Shown, width: int) -> list[str]:
    """Each row by itself, `title: value`, as many on a line as fit."""
    blocks = [list(_record(shown.columns, row, width)) for row in shown.rows]
    return list(chain.from_iterable(blocks)) or [f"{column.title}:" for column in shown.columns]


def _record(columns: Sequence[Column], row: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    line = ""
    for place, (column, lines) in enumerate(zip(columns, row, strict=True)):
        before = INDENT if place else ""
        item = f"{column.title}: {lines[0]}" if len(lines) == 1 else ""
        if place and item and line.startswith(INDENT) and cell_len(f"{line}{GAP} {item}") <= width:
            line = f"{line}{GAP} {item}"
            continue
        yield from [line] if line else []
        line = f"{before}{item}" if item and cell_len(before + item) <= width else ""
        if not line:
            yield from (before + part for part in fold(f"{column.title}:", width - len(before)))
            inner = before + INDENT
            yield from (inner + part for text in lines for part in fold(text, width - len(inner)))
    yield from [line] if line else []


def _fitted(lines: Sequence[str], role: Role, width: int) -> list[str]:
    fit: Callable[[str], list[str]] = (lambda line: [shorten(line, width)]) if role == "file" else _folded_to(width)
    return list(chain.from_iterable(map(fit, lines)))


def _folded_to(width: int) -> Callable[[str], list[str]]:
    return lambda line: [line] if cell_len(line) <= width else fold(line, width)


def _beside(cells: Sequence[Sequence[str]], roles: Sequence[Role], widths: Sequence[int]) -> Iterator[str]:
    for line in zip_longest(*cells, fillvalue=""):
        parts = (_padded(text, role, width) for text, role, width in zip(line, roles, widths, strict=True))
        yield GAP.join(parts).rstrip(" ")


def _padded(text: str, role: Role, width: int) -> str:
    padding = " " * (width - cell_len(text))
    return padding + text if role == "number" else text + padding


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split(" ")))


def _width_that_tells_apart(names: Sequence[str]) -> int:
    """The least width, of 16 and more, at which names that differ still do once they are shortened."""
    different = set(names)
    longest = max(map(cell_len, different), default=0)
    for width in range(SHORTEST_FILE, longest):
        if len({shorten(name, width) for name in different}) == len(different):
            return width
    return longest


def _chopped(word: str, width: int) -> list[str]:
    pieces = []
    while cell_len(word) > width:
        piece = _taken(word, width) or word[:1]
        pieces.append(piece)
        word = word[len(piece) :]
    return [*pieces, word]


def _taken(text: str, width: int) -> str:
    """The longest beginning that is no wider."""
    if text.isascii():
        return text[:width]
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def _end_of(text: str, width: int) -> str:
    """The longest end that is no wider."""
    start = max(0, len(text) - width) if text.isascii() else 0
    while cell_len(text[start:]) > width:
        start += 1
    return text[start:]


def _in_encoding(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _drawn_with(line: str, encoding: str) -> str:
    """The line with the signs of this module as the encoding has them, each as wide."""
    for sign, plain in ((CUT, "~"), (RULE, "-")):
        try:
            sign.encode(encoding)
        except UnicodeEncodeError:
            line = line.replace(sign, plain)
    return line
