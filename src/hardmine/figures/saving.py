"""Figures into files: PNG, SVG, or an HTML page that needs nothing but itself."""

from dataclasses import replace
from html import escape
from itertools import zip_longest
from pathlib import Path

from hardmine.errors import ConfigError, RunError
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.painting import paint
from hardmine.files.writing import is_taken, write_new

__all__ = ["check_savable", "save"]

STYLE = (
    "body{font-family:sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem}svg{max-width:100%;height:auto}"
    "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:bold;padding:.3rem 0}"
    "th,td{border:1px solid #ccc;padding:.15rem .5rem;text-align:right;font-variant-numeric:tabular-nums}"
)


def save(figure: Figure, path: Path) -> None:
    """Writes the figure as its suffix says, in one step.

    Raises: ConfigError, RunError: as `check_savable`, or it cannot be written.
    """
    check_savable(path)
    write_new(path, _WRITERS[path.suffix.lower()](figure))


def check_savable(path: Path) -> None:
    """Says what is wrong before anything is computed.

    Raises: ConfigError: another suffix than .png, .svg and .html or no such folder.
        RunError: the file exists.
    """
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(f"cannot draw {path}: expected a file that ends in {', '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot draw {path}: there is no folder {path.parent}; make it first")
    if is_taken(path):
        raise RunError(f"{path} exists already; choose another file")


def _page(figure: Figure) -> bytes:
    """One HTML page: the figure as SVG inside, and under it the numbers that it is drawn from."""
    drawing = paint(replace(figure, title="", note=""), "svg").decode()
    title, note = escape(figure.title), escape(figure.note)
    tables = "\n".join(_table(panel) for panel in figure.panels)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"/><title>{title}</title><style>{STYLE}</style></head>
<body>
<h1>{title}</h1>
<div role="img" aria-label="{title}">
{drawing[drawing.index("<svg") :]}</div>
<p>{note}</p>
<details><summary>The numbers</summary>
{tables}
</details>
</body>
</html>
""".encode()


def _table(panel: Panel) -> str:
    """Two columns a series, because series need not share their x."""
    heads = "".join(f"<th>{escape(panel.x_label)}</th><th>{escape(series.name)}</th>" for series in panel.series)
    rows = zip_longest(*(_columns(panel, series) for series in panel.series), fillvalue=("", ""))
    body = "\n".join(f"<tr>{''.join(f'<td>{x}</td><td>{y}</td>' for x, y in row)}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(panel.title)}: {escape(panel.y_label)}</caption>\n<tr>{heads}</tr>\n{body}\n</table>"
    )


def _columns(panel: Panel, series: Series) -> list[tuple[str, str]]:
    if panel.ticks:
        where = [escape(panel.ticks[int(x)]) for x in series.x]
    elif series.kind == "steps":
        where = [f"{low:.4g} to {high:.4g}" for low, high in zip(series.x, series.x[1:], strict=False)]
    else:
        where = [f"{x:.4g}" for x in series.x]
    return list(zip(where, [f"{y:.4g}" for y in series.y], strict=True))


_WRITERS = {".png": lambda figure: paint(figure, "png"), ".svg": lambda figure: paint(figure, "svg"), ".html": _page}
