"""Writes what recipes say of themselves: docs/recipes/NAME.md, and the table in README.md. `--check` only compares."""

import sys
from pathlib import Path

from hardmine.detectors.support import heads_under, parts_set
from hardmine.errors import EvidenceError
from hardmine.recipes import RECIPES, Recipe

ROOT = Path(__file__).parents[1]
PAGES, README = ROOT / "docs" / "recipes", ROOT / "README.md"
START, END = "<!-- recipes: written by docs/generate.py -->\n", "<!-- end of recipes -->\n"
COLUMNS = {
    "RetinaNet": ("retinanet",),
    "FCOS": ("fcos",),
    "SSD, SSDLite": ("ssd",),
    "Fast, Faster R-CNN": ("fasterrcnn",),
    "Cascade R-CNN": ("cascadercnn",),
    "YOLO": ("YOLO",),
    "DETRs": ("RT-DETR", "DETR"),
    "pixels": ("pixels",),
}
"""A column may hold two kinds of heads; where only one of them takes the recipe, the cell names it by `SCORES`."""
SCORES = {"RT-DETR": "sigmoid", "DETR": "softmax"}


def page(recipe: Recipe) -> str:
    """One recipe as Markdown."""
    options = [f"- `{name}` = {value}" for name, value in recipe.parameters.items()]
    refusals = [f"- {heads}" for heads in heads_under(recipe).values() if isinstance(heads, EvidenceError)]
    parts = [
        f"# {recipe.name}: {recipe.title}",
        recipe.summary,
        f"    {recipe.equation}",
        f"Paper: {recipe.paper}",
        _list("Options and their defaults", options),
        _worth_tuning(recipe),
        _list("Published", [f"- {line}" for line in recipe.published]),
        _list("Differences", [f"- {line}" for line in recipe.differences]),
        _list("Not for", refusals),
        f"```\nhardmine explain {recipe.name}\nhardmine train --recipe {recipe.name} ...\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table() -> str:
    """All recipes as a Markdown table."""
    head = ["recipe", "paper", "kind", "sets", *COLUMNS]
    rows = [head, ["---"] * len(head), *(_row(name, make()) for name, make in RECIPES.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def readme(text: str) -> str:
    """The README with its table of recipes made anew."""
    before, rest = text.split(START)
    return before + START + table() + END + rest.split(END)[1]


def _row(name: str, recipe: Recipe) -> list[str]:
    found = heads_under(recipe)
    taken = [_cell([kind for kind in kinds if isinstance(found[kind], list)], kinds) for kinds in COLUMNS.values()]
    paper = recipe.paper.short if recipe.paper else ""
    return [f"[`{name}`](docs/recipes/{name}.md)", paper, recipe.kind, parts_set(recipe), *taken]


def _cell(taken: list[str], kinds: tuple[str, ...]) -> str:
    return "✓" if len(taken) == len(kinds) else ", ".join(SCORES[kind] for kind in taken)


def _worth_tuning(recipe: Recipe) -> str:
    values = (f"`{name}` ({', '.join(map(str, tried))})" for name, tried in recipe.tuned.items())
    return f"Worth tuning: {', '.join(values)}." if recipe.tuned else ""


def _list(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def main(arguments: list[str]) -> int:
    """Writes the pages, or says which of them are out of date."""
    pages = {PAGES / f"{name}.md": page(make()) for name, make in RECIPES.items()}
    pages[README] = readme(README.read_text())
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} does not say what its recipe says; run: python docs/generate.py", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    PAGES.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(pages[path])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
