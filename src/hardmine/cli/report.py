"""The command that makes a page of what lies in folders."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hardmine.cli.showing import show_all

__all__ = ["page_of", "report"]


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs, comparisons, loops, mined folders, diagnoses.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="New page; pictures go into a folder beside it.")] = Path("report.html"),
    most: Annotated[int, typer.Option(min=1, help="Examples of a kind in a gallery, the worst first.")] = 2000,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images.", show_default="as the mined folder says")
    ] = None,
) -> None:
    """Make one page of runs, comparisons and mined folders: intervals, curves, a gallery of suspects to decide on.

    It opens in any browser from where it lies and fetches nothing. In the gallery suspects are accepted and rejected;
    decisions.json, which it saves, is what `export --decisions` and `train --suspects` take.
    """
    from hardmine.report import write_report

    write_report(paths, out, most=most, images=images, command=shlex.join(["hardmine", *sys.argv[1:]]))
    show_all(f"Report: {out}")


def page_of(folder: Path) -> str:
    """The line that says how to look at what was written."""
    return f"A page of it: hardmine report {shlex.quote(str(folder))} --out report.html"
