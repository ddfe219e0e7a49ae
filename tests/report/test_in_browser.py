"""The page in a real browser, opened from where it lies: what keys and clicks do, what a screen reader is told."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from hardmine.files.writing import write_json
from hardmine.report import write_report
from hardmine.training.decisions import read_decisions
from tests.report.conftest import comparison, diagnosis, make_mined, make_run
from tests.report.test_mask_examples import make_mined_masks

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install hardmine[browser]"
)
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: hardmine[browser]")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("there is no chromium on the path", allow_module_level=True)

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
DESKTOP, TELEPHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NUM_IMAGES = 40


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A page with everything on it."""
    folder = tmp_path_factory.mktemp("report")
    for name, content in (("compare", comparison().to_dict()), ("diagnosis", diagnosis())):
        (folder / name).mkdir()
        write_json(folder / name / f"{name}.json", content)
    mined = make_mined(folder, NUM_IMAGES)
    next((folder / "data/images").iterdir()).unlink()
    given = [folder / "compare", make_run(folder / "run"), folder / "diagnosis", mined]
    write_report(given, folder / "my report.html", command="hardmine report")
    return folder / "my report.html"


@contextmanager
def opening(browser, file: Path) -> Iterator[Callable[..., "sync_api.Page"]]:
    """Opens a page and, at the end, holds that nothing was fetched and nothing failed."""
    said, contexts = [], []
    own = (file.as_uri(), (file.parent / f"{file.stem}_files").as_uri())

    def make(viewport=DESKTOP, **how) -> "sync_api.Page":
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **how)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(own) else said.append(request.url))
        page.goto(f"{file.as_uri()}#gallery1")
        return page

    yield make
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def open_page(browser, report):
    with opening(browser, report) as make:
        yield make


def problems(page) -> str:
    found = axe.Axe().run(page)
    return "" if found.violations_count == 0 else found.generate_report()


def count(page) -> str:
    return page.inner_text("[data-show=count]")


def is_kept(page, holds: Callable[[], bool]) -> bool:
    """Whether it holds after the page was loaded anew; a browser writes down what it keeps a while after it is told."""
    for _ in range(20):
        page.wait_for_timeout(250)
        page.reload()
        if holds():
            return True
    return False


def num_suspects(report: Path) -> int:
    return len(pl.read_parquet(report.parent / "mined/suspects.parquet"))


@pytest.mark.parametrize(("viewport", "colours"), [(DESKTOP, "light"), (DESKTOP, "dark"), (TELEPHONE, "light")])
def test_everybody_can_use_it(open_page, viewport, colours):
    page = open_page(viewport, color_scheme=colours)
    page.evaluate("document.querySelectorAll('details').forEach((of) => { of.open = true; })")
    page.evaluate("document.querySelector('.gallery').scrollIntoView()")
    assert problems(page) == ""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click(".cell .open")
    assert viewport == TELEPHONE or problems(page) == ""
    assert page.title() == "hardmine report"


def test_suspects_are_decided_by_keys_and_kept(open_page, report):
    page = open_page()
    page.focus(".cell.current .open")
    for key in "arjak":
        page.keyboard.press(key)
    assert f"2 accepted, 1 rejected, {num_suspects(report) - 3:,} undecided" in count(page)
    assert is_kept(page, lambda: "2 accepted, 1 rejected" in count(page))
    with page.expect_download() as download:
        page.click("[data-action=download]")
    assert download.value.suggested_filename == "decisions.json"
    decisions = json.loads(Path(download.value.path()).read_text())
    assert (decisions["format"], decisions["mined"]) == (1, str(report.parent / "mined"))
    suspects = pl.read_parquet(report.parent / "mined/suspects.parquet")
    images = dict(pl.read_parquet(report.parent / "mined/images.parquet").select("image_id", "file_name").iter_rows())
    assert len(decisions["decisions"]) == 3
    for of in decisions["decisions"]:
        row = suspects.row(of["row"], named=True)
        assert list(of) == ["row", "image_id", "file_name", "kind", "decision"]
        assert (of["image_id"], of["kind"]) == (row["image_id"], row["kind"])
        assert of["file_name"] == images[row["image_id"]]
    assert sorted(of["decision"] for of in decisions["decisions"]) == ["accept", "accept", "reject"]
    page.focus(".cell.current .open")
    page.keyboard.press("u")
    assert "1 accepted, 1 rejected" in count(page)


def test_keys_do_nothing_where_text_is_typed(open_page):
    page = open_page()
    page.fill("[data-control=name]", "")
    page.type("[data-control=name]", "ar")
    assert "0 accepted, 0 rejected" in count(page)


def test_the_whole_image_opens_and_closes(open_page):
    page = open_page()
    page.focus(".cell.current .open")
    page.keyboard.press("Enter")
    assert page.is_visible("#viewer")
    assert page.inner_text(".viewer-facts").startswith("1 of ")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".viewer-facts").startswith("2 of ")
    page.wait_for_function("document.querySelector('.stage img').naturalWidth > 0")
    page.keyboard.press("a")
    assert page.inner_text(".viewer-facts").startswith("3 of ")
    assert "1 accepted" in count(page)
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#viewer [data-action=accept]", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert not page.is_visible("#viewer")
    assert page.evaluate("document.activeElement.closest('.cell')?.place") == 1


@pytest.mark.parametrize("kind", ["missing label", "hard negative"])
def test_filters_show_what_they_say(open_page, report, kind):
    page = open_page()
    table = "predictions" if kind == "hard negative" else "suspects"
    rows = pl.read_parquet(report.parent / f"mined/{table}.parquet").filter(kind=kind.removesuffix(" label"))
    option = page.locator("[data-control=kind] option", has_text=kind)
    page.select_option("[data-control=kind]", option.get_attribute("value"))
    assert count(page).startswith(f"{len(rows):,} of ")
    assert set(page.locator(".cell .kind").all_inner_texts()) == {kind}
    page.locator("[data-control=least]").fill("1")
    assert count(page).startswith("0 of ")
    assert page.is_visible("[data-show=none]")


def test_only_what_is_near_is_in_the_document_and_nothing_is_blank(open_page):
    page = open_page(TELEPHONE)
    total = int(page.get_attribute(".cell", "aria-setsize"))
    height = page.evaluate("document.documentElement.scrollHeight")
    grid = page.evaluate("document.querySelector('.grid').getBoundingClientRect().top + scrollY")
    for part in (0.3, 0.6, 1.0):
        page.evaluate(f"scrollTo(0, {grid + part * (height - grid)})")
        page.wait_for_function(IS_FULL)
        assert page.locator(".cell").count() < total / 2
    assert page.evaluate("document.documentElement.scrollHeight") == height
    assert page.locator(f'.cell[aria-posinset="{total}"]').count() == 1


IS_FULL = """() => {
  const grid = document.querySelector(".grid").getBoundingClientRect(), cells = [...document.querySelectorAll(".cell")];
  const seen = cells.map((cell) => cell.getBoundingClientRect()).filter((at) => at.bottom > 0 && at.top < innerHeight);
  const top = Math.min(...seen.map((at) => at.top)), bottom = Math.max(...seen.map((at) => at.bottom));
  const done = [...document.querySelectorAll(".cell img")].every((image) => image.complete && image.naturalWidth > 0);
  const isCovered = top <= Math.max(20, grid.top) && bottom >= Math.min(innerHeight - 20, grid.bottom - 1);
  return seen.length > 0 && isCovered && done;
}"""


def test_an_image_that_is_gone_is_a_field_that_says_so(open_page, report):
    page = open_page()
    wanted = page.evaluate("JSON.parse(document.getElementById('data1').textContent).missing")
    name = page.evaluate(f"JSON.parse(document.getElementById('data1').textContent).images.name[{wanted[0]}]")
    page.fill("[data-control=name]", name)
    cells = page.locator(".cell")
    assert cells.count() > 0
    assert page.locator(".cell .gone").all_inner_texts() == ["no picture"] * cells.count()


def test_colours_are_chosen_and_kept(open_page):
    page = open_page(color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.click("#theme")
    page.click("#theme")
    assert page.inner_text("#theme") == "Colours: dark"
    assert page.evaluate(colour) != "rgb(255, 255, 255)"
    assert is_kept(page, lambda: page.inner_text("#theme") == "Colours: dark")


def test_it_prints_some_examples_and_comes_back(open_page):
    page = open_page()
    before = page.locator(".cell").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".grid.printed .cell").count() == 24
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".cell").count() == before
    assert len(page.pdf()) > 10_000


@pytest.fixture(scope="module")
def masks_page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    write_report([make_mined_masks(folder, 12)], folder / "masks.html")
    return folder / "masks.html"


@pytest.fixture
def open_masks(browser, masks_page):
    with opening(browser, masks_page) as make:
        yield make


@pytest.mark.parametrize(
    ("viewport", "colours"), [(DESKTOP, "light"), (DESKTOP, "dark"), (TELEPHONE, "light"), (TELEPHONE, "dark")]
)
def test_everybody_can_use_the_gallery_of_masks(open_masks, viewport, colours):
    page = open_masks(viewport, color_scheme=colours)
    page.evaluate("document.querySelectorAll('details').forEach((of) => { of.open = true; })")
    assert problems(page) == ""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click(".cell .open")
    assert viewport == TELEPHONE or problems(page) == ""


def test_regions_are_decided_and_training_reads_the_decisions(open_masks, masks_page, tmp_path):
    page = open_masks()
    page.focus(".cell.current .open")
    for key in "arj":
        page.keyboard.press(key)
    with page.expect_download() as download:
        page.click("[data-action=download]")
    download.value.save_as(tmp_path / "decisions.json")
    decided = read_decisions(tmp_path / "decisions.json", masks_page.parent / "mined")
    assert sorted(decided.values()) == [False, True]
    assert decided[0] is True  # the most suspect is first


def test_the_map_of_what_is_hard_is_a_key_away(open_masks):
    page = open_masks()
    page.focus(".cell.current .open")
    assert page.locator(".cell .box.region").count() > 0
    assert "/hardness/" not in page.get_attribute(".cell.current img", "src")
    page.keyboard.press("h")
    assert "/1/hardness/crops/" in page.get_attribute(".cell.current img", "src")
    page.keyboard.press("Enter")
    assert "/1/hardness/images/" in page.get_attribute(".stage img", "src")
    page.keyboard.press("h")
    assert "/hardness/" not in page.get_attribute(".stage img", "src")
    assert page.is_hidden("text=All boxes")
    assert page.locator(".stage .box.found").count() > 0


def test_regions_are_filtered_by_what_they_are_taken_for(open_masks, masks_page):
    page = open_masks()
    regions = pl.read_parquet(masks_page.parent / "mined/regions.parquet")
    label, predicted, num = regions.group_by("label", "predicted").len().sort("len").row(-1)
    page.select_option("[data-control=kind]", label=f"{label} → {predicted} ({num})")
    assert count(page).startswith(f"{num} of {len(regions)} shown.")
