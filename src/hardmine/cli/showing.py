"""What a command prints."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

__all__ = ["page_of", "show_all"]


def show_all(*parts: Any) -> None:
    console = Console()
    for part in parts:
        in_a_file = isinstance(part, str) and not console.is_terminal
        console.print(part, markup=False, highlight=False, soft_wrap=in_a_file)  # paths stay whole in a file


def page_of(folder: Path) -> str:
    """The line that says how to look at what was written."""
    return f"A page of it: hardmine report {shlex.quote(str(folder))} --out report.html"
