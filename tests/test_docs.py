"""What the documentation shows: its examples run, its links lead somewhere."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCED = re.compile(r"^```python\n(>>> .*?)^```$", re.MULTILINE | re.DOTALL)


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(DOCS)) for page in pages]


WITH_EXAMPLES = [page for page in PAGES if FENCED.search(page.read_text())]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=names(WITH_EXAMPLES))
def test_the_examples_of_a_page_give_what_it_says(page):
    text = "\n".join(FENCED.findall(page.read_text()))
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted > 0


def anchors(page: Path) -> set[str]:
    """Where a page can be linked to; mkdocs makes one hyphen of several, GitHub does not: what both call alike."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    of_github = {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}
    return {anchor for anchor in of_github if "--" not in anchor}


LINKS = [(page, link) for page in PAGES for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_the_links_of_a_page_lead_somewhere(page):
    for link in (link for of, link in LINKS if of == page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: {target.name} has no such heading"


NUM_OF = {"000": 27, "001": 50, "002": 26, "003": 15, "004": 27, "X": 4}
"""How many lines the source material has."""
ROW = re.compile(r"^\| (\w+)-(\d+) \|.+\| (run|measured|explained) \|(.+)\|$", re.MULTILINE)


def test_every_line_of_the_source_material_is_covered_and_most_is_more_than_words():
    rows = ROW.findall((DOCS / "coverage.md").read_text())
    expected = [(part, str(n) if part == "X" else f"{n:02}") for part, num in NUM_OF.items() for n in range(1, num + 1)]
    assert [row[:2] for row in rows] == expected
    assert sum(how != "explained" for *_, how, _ in rows) >= 140
    assert all(where.strip() for *_, where in rows)
