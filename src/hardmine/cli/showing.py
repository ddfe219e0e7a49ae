"""What a command prints."""

from typing import Any

from rich.console import Console

__all__ = ["show_all"]


def show_all(*parts: Any) -> None:
    console = Console()
    for part in parts:
        in_a_file = isinstance(part, str) and not console.is_terminal
        console.print(part, markup=False, highlight=False, soft_wrap=in_a_file)  # paths stay whole in a file
