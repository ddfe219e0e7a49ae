import pytest
from defusedxml.ElementTree import fromstring

from hardmine.errors import ConfigError, RunError
from hardmine.figures import Figure, Panel, Series, save
from hardmine.figures.saving import check_savable

FIGURE = Figure(
    "<b> & co",
    [
        Panel("bars", "kind", "share", [Series("<script>", [0, 1], [0.25, 0.75], "bars")], ticks=("left", "right")),
        Panel("steps", "g", "count", [Series("h", [0, 0.5, 1], [3, 4], "steps"), Series("l", [0, 1, 2], [5, 6, 7])]),
    ],
    "note <i>",
)


def test_a_page_is_well_formed_and_complete(tmp_path):
    save(FIGURE, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    page = fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    assert page.find(".//h1").text == "<b> & co"
    assert page.find(".//p").text == "note <i>"
    assert len(page.findall(".//{http://www.w3.org/2000/svg}svg")) == 1
    cells = [[cell.text for cell in row] for row in page.findall(".//tr")]
    assert cells[0] == ["kind", "<script>"]
    assert cells[1:3] == [["left", "0.25"], ["right", "0.75"]]
    assert cells[4:] == [["0 to 0.5", "3", "0", "5"], ["0.5 to 1", "4", "1", "6"], [None, None, "2", "7"]]


def test_a_page_loads_nothing(tmp_path):
    save(FIGURE, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert not any(word in text for word in ("<script", "<link", "src=", "@import", "url(http"))


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.html", b"<!DOCTYPE html>")]
)
def test_the_suffix_says_what_is_written(tmp_path, name, start):
    save(FIGURE, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / "a.png").write_text("old")
    for refuses in (check_savable, lambda path: save(FIGURE, path)):
        with pytest.raises(RunError, match=r"a\.png exists already; choose another file"):
            refuses(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "old"


def test_what_cannot_be_written_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.png, \.svg, \.html"):
        check_savable(tmp_path / "figure.pdf")
    with pytest.raises(ConfigError, match="there is no folder"):
        check_savable(tmp_path / "none" / "figure.png")
