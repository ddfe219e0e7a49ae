"""What a command prints: tables and sentences, on a terminal or into a file.

A table is laid out for the width of the terminal; elsewhere, and where there is none, for 80 columns or what `COLUMNS`
says. Sentences are wrapped on a terminal between words, never within one, so that a path can be copied; in a file each
is one line.
"""

import sys

from rich.cells import cell_len
from rich.console import Console

from hardmine.cli.layout import Table, lay_out
from hardmine.files.printable import escaped

__all__ = ["show_all", "wrap"]


def show_all(*parts: Table | str) -> None:
    """Prints tables, between empty lines, and sentences, each a line or, on a terminal, as many as it takes."""
    console = Console()
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Table):
            lines += [*([""] if lines and lines[-1] else []), *lay_out(part, console.width, console.encoding), ""]
        else:
            lines += wrap(escaped(part), console.width) if console.is_terminal else [escaped(part)]
    sys.stdout.write("\n".join(lines).rstrip("\n") + "\n")


def wrap(sentence: str, width: int) -> list[str]:
    """The sentence in lines broken between words; a word that is wider than a line is left to the terminal."""
    text = sentence.lstrip(" ")
    indent = " " * (len(sentence) - len(text))
    first, *words = text.split(" ")
    lines = [indent + first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(indent + word)
    return lines
