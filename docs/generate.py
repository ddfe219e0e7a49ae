"""Writes the page of each recipe, docs/recipes/NAME.md, from the recipe itself. `--check` only compares."""

import sys
from pathlib import Path

from hardmine.recipes import RECIPES, Recipe

PAGES = Path(__file__).parent / "recipes"


def page(recipe: Recipe) -> str:
    """One recipe as Markdown."""
    options = [f"- `{name}` = {value}" for name, value in recipe.parameters.items()]
    parts = [
        f"# {recipe.name}: {recipe.title}",
        recipe.summary,
        f"    {recipe.equation}",
        f"Paper: {recipe.paper}",
        _list("Options and their defaults", options),
        _list("Published", [f"- {line}" for line in recipe.published]),
        _list("Differences", [f"- {line}" for line in recipe.differences]),
        f"```\nhardmine explain {recipe.name}\nhardmine train --recipe {recipe.name} ...\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _list(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def main(arguments: list[str]) -> int:
    """Writes the pages, or says which of them are out of date."""
    pages = {PAGES / f"{name}.md": page(make()) for name, make in RECIPES.items()}
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
