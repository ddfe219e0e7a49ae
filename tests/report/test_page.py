"""The page as text: its numbers are those of the files, nothing is fetched, names stay text."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, strategies as st

from hardmine.errors import ConfigError, DataError, RunError
from hardmine.report import write_report
from hardmine.report.page import embedded
from tests.report.conftest import HIDDEN, HOSTILE, diagnosis, make_run


class Page(HTMLParser):
    """Elements with their attributes, numbers in <data>, and the text of the page."""

    def __init__(self, html: str):
        super().__init__()
        self.elements, self.numbers, self.text, self.scripts = [], [], [], []
        self.inside = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "data":
            self.numbers.append((dict(attrs)["value"], ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "data":
            self.numbers[-1] = (self.numbers[-1][0], data)
        (self.scripts if self.inside == "script" else self.text).append(data)


@pytest.fixture
def page(tmp_path):
    def make(*paths, **how) -> Page:
        write_report(paths, tmp_path / "report.html", **how)
        return Page((tmp_path / "report.html").read_text())

    return make


def numbers_in(value) -> list[float]:
    if isinstance(value, dict):
        return [number for of in value.values() for number in numbers_in(of)]
    if isinstance(value, list):
        return [number for of in value for number in numbers_in(of)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_the_numbers_are_those_of_the_comparison(compared, page):
    folder = compared()
    facts = json.loads((folder / "compare.json").read_text())
    shown = page(folder).numbers
    exact = {value for value, _ in shown}
    first, *others = facts["recipes"]
    wanted = [of["mean"] for of in first["measures"].values()] + [row["measures"]["ap"]["mean"] for row in others]
    for row in others:
        wanted += [row["step_time_ratio"], row["peak_memory_mb"]]
        for of in row["measures"].values():
            wanted += [of["difference"][end] for end in ("value", "low", "high")]
        wanted += [row["measures"]["ap"]["difference"][f"simultaneous_{end}"] for end in ("low", "high")]
    assert {str(value) for value in wanted} <= exact
    of_file = set(map(str, numbers_in(facts)))
    of_runs = {
        str(value)
        for file in folder.rglob("metrics.jsonl")
        for line in file.read_text().splitlines()
        for value in numbers_in(json.loads(line))
    }
    assert exact <= of_file | of_runs


def test_what_is_read_is_the_number_rounded(compared, page):
    for value, text in page(compared()).numbers:
        scale = 0.01 if text.endswith("%") else 1
        plain = text.rstrip("%").replace(",", "")
        half = 0.501 * scale * 10 ** -len(plain.partition(".")[2])
        assert float(plain) * scale == pytest.approx(float(value), rel=1e-3, abs=half)


def test_the_numbers_are_those_of_the_diagnosis(diagnosed, page):
    shown = {value for value, _ in page(diagnosed).numbers}
    tables = [one for of in diagnosis()["recipes"].values() for one in of["heads"]["classification"]["tables"].values()]
    assert set(map(str, numbers_in(tables))) <= shown
    assert "0.9375" in shown


def test_sections_are_there_where_there_is_something_for_them(compared, run, mined, diagnosed, page, tmp_path):
    everything = page(compared(), run, mined, diagnosed)
    headings = [attributes.get("id") for tag, attributes in everything.elements if tag == "section"]
    assert headings == ["compared1", "runs", "diagnosed1", "gallery1"]
    write_report([run], tmp_path / "run.html")
    alone = Page((tmp_path / "run.html").read_text())
    assert [attributes["id"] for tag, attributes in alone.elements if tag == "section"] == ["runs"]
    assert not (tmp_path / "run_files").exists()
    assert "No precision-recall curves" in "".join(alone.text)


def test_of_many_recipes_the_best_have_curves(compared, page):
    recipes = ("random", *(f"r{number}" for number in range(12)))
    folder = compared(recipes=recipes)
    for recipe in recipes:
        if not (folder / recipe).exists():
            make_run(folder / recipe / "seed0")
    shown = page(folder)
    assert "Drawn are random and the 7 recipes with the highest AP." in "".join(shown.text)
    lines = [of["class"] for tag, of in shown.elements if tag == "polyline"]
    assert set(lines) == {f"line s{style}" for style in range(8)}


def test_one_seed_has_no_verdict(compared, page):
    shown = page(compared(1))
    verdicts = [of["class"] for tag, of in shown.elements if tag == "strong" and "class" in of]
    assert verdicts == ["plain"] * 3
    assert "one seed: no verdict" in "".join(shown.text)
    assert "abbr" not in {tag for tag, _ in shown.elements}  # the stars of measures that differ beyond doubt


def test_several_seeds_have(compared, page):
    shown = page(compared())
    verdicts = [of["class"] for tag, of in shown.elements if tag == "strong" and "class" in of]
    assert verdicts == ["plain", "good", "good"]
    assert "abbr" in {tag for tag, _ in shown.elements}


def test_nothing_is_fetched_and_names_stay_text(compared, run, mined, diagnosed, page):
    shown = page(compared(), run, mined, diagnosed, command=f"hardmine report {HOSTILE}")
    assert not [tag for tag, _ in shown.elements if tag in ("link", "iframe", "object", "embed", "base", "b")]
    assert not [value for _, attributes in shown.elements for name, value in attributes.items()
                if name in ("src", "href") and not value.startswith("#")]  # fmt: skip
    assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]
    assert HOSTILE in "".join(shown.text)
    (policy,) = [of["content"] for tag, of in shown.elements if of.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", "".join(shown.scripts))


def test_what_would_steer_text_is_escaped(compared, mined, page, tmp_path):
    page(compared(recipes=("random", HIDDEN)), mined)
    text = (tmp_path / "report.html").read_text()
    assert not [char for char in "\u2028\u202e\x01" if char in text]
    assert r"a\u2028b\u202ec\x01" in text


@given(st.recursive(st.text() | st.integers() | st.none(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)))
def test_embedded_json_is_the_same_and_cannot_end_its_element(value):
    text = str(embedded(value))
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_what_was_left_out_and_what_has_no_picture_is_said(mined, page, tmp_path):
    gone = sorted((tmp_path / "data/images").iterdir())[0]
    gone.unlink()
    text = "".join(page(mined, most=1).text)
    assert "Left out" in text
    assert "1 of " in text
    assert "images have no picture; the first:" in text


def test_pictures_lie_beside_the_page(mined, page, tmp_path):
    page(mined)
    crops = {file.stem for file in (tmp_path / "report_files/1/crops").iterdir()}
    (script,) = re.findall(r'id="data1">(.*?)</script>', (tmp_path / "report.html").read_text())
    assert crops == set(map(str, range(len(json.loads(script)["examples"]["kind"]))))
    assert json.loads(script)["folder"] == "report_files/1"


def test_what_is_there_is_not_replaced(run, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.html"):
        write_report([run], tmp_path / "report.pdf")
    with pytest.raises(ConfigError, match="there is no folder"):
        write_report([run], tmp_path / "no/report.html")
    with pytest.raises(ConfigError, match="nothing to report on"):
        write_report([], tmp_path / "report.html")
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        write_report([run], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "mine"


def test_what_fails_leaves_nothing(mined, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("hardmine.report.page.cut_pictures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_report([mined], tmp_path / "report.html")
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.setattr("hardmine.report.page.write_new", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report([mined], tmp_path / "report.html")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_none_is_refused_before_pictures_are_cut(mined, tmp_path):
    with pytest.raises(DataError, match="nothing to report on"):
        write_report([mined, tmp_path], tmp_path / "report.html")
    assert not (tmp_path / "report_files").exists()
