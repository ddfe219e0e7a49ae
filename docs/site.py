"""The documentation as a site: `mkdocs build`. What stands outside of docs/ and is linked from there becomes a page.

Pages are written for a reader of the repository, so they link to sources, examples and the README where these are.
"""

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")
NOT_SHOWN = {"cli", "core", "files", "tables"}
"""Rooms that nobody imports from; the commands have a page of their own."""
ROOMS = {path.parent.name for path in (ROOT / "src" / "hardmine").glob("*/__init__.py")} - NOT_SHOWN


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made: the reference, and whatever is linked outside of docs/."""
    recipes = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri.startswith("recipes/"))
    made = {f"tree/{path}.md": _shown(path) for path in _linked(files)}
    reference = {f"reference/{room}.md": f"# hardmine.{room}\n\n::: hardmine.{room}\n" for room in ROOMS}
    reference["reference/commands.md"] = _commands()
    for path, content in sorted((made | reference).items()):
        files.append(File.generated(config, path, content=content))
    config.nav = [*(config.nav or []), {"Recipes": recipes}, {"Reference": sorted(reference)}]
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links out of docs/ lead to the page that was made of the file."""
    return OUTSIDE.sub(lambda found: f"]({_inside(found, page.file.src_uri)}{found[2] or ''})", markdown)


def _linked(files: Files) -> set[str]:
    """Every path outside of docs/ that a page links to, from the root."""
    found: set[str] = set()
    for file in files.documentation_pages():
        found |= {_target(match[1], f"docs/{file.src_uri}") for match in OUTSIDE.finditer(file.content_string)}
    return {path for path in found if not path.startswith("docs/")}


def _target(link: str, source: str) -> str:
    return normpath(str(PurePosixPath(source).parent / link))


def _inside(found: re.Match[str], source: str) -> str:
    """The link as it is within the site."""
    target = _target(found[1], f"docs/{source}")
    if target.startswith("docs/"):
        return found[1]
    return relpath(f"tree/{target}.md", PurePosixPath(source).parent.as_posix())


def _shown(path: str) -> str:
    """A file as a page: code as code, a folder as the list of what is in it, Markdown without its links."""
    place = ROOT / path
    if place.is_dir():
        names = sorted(child.name for child in place.iterdir() if not child.name.startswith(("_", ".")))
        return "\n".join([f"# {path}", "", *(f"- `{name}`" for name in names)]) + "\n"
    text = place.read_text()
    if place.suffix == ".md":
        return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return f"# {path}\n\n```{place.suffix[1:]}\n{text}\n```\n"


def _commands() -> str:
    """The help of every command, as typer writes it."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "hardmine.cli.app",
        "utils",
        "docs",
        "--name",
        "hardmine",
        "--title",
        "Commands",
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
