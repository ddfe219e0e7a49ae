"""Tables of any content at any width: no line is too wide, every key is there as a whole, nothing is lost."""

import re

import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len

from hardmine.cli.layout import CUT, RULE, Column, Table, fold, lay_out, shorten, table_of
from hardmine.files.printable import escaped

WIDTHS = (40, 60, 80, 120)
PIECES = st.sampled_from(
    [
        "BloodImage_00338",
        "漢字",
        "猫",
        "é",
        "e\u0301",
        "❤\ufe0f",
        "[red]",
        "\x1b[2J",
        "\n",
        "\u202e",
        "\ud800",
        "/",
        "-",
        "a b",
        "ß",
    ]
)
NAMES = st.lists(PIECES | st.text(max_size=6), min_size=1, max_size=9).map("".join)
NUMBERS = st.floats(-1000, 1000).map("{:.3f}".format)
WORDS = st.lists(st.sampled_from(["all", "but", "retinanet", "ssd", "漢字"]), min_size=1, max_size=8).map(" ".join)
OF_ROLE = {"key": NAMES, "number": NUMBERS, "file": NAMES.map("folder/{}.jpg".format), "words": WORDS}


@st.composite
def tables(draw) -> Table:
    roles = draw(st.lists(st.sampled_from([*OF_ROLE]), min_size=1, max_size=9))
    columns = [Column(f"{'a title of ' * draw(st.booleans())}C{place}", role) for place, role in enumerate(roles)]
    cell = {role: of | st.lists(of, min_size=1, max_size=3) for role, of in OF_ROLE.items()}
    rows = draw(st.lists(st.tuples(*(cell[role] for role in roles)), max_size=4))
    return Table(columns, rows, draw(st.just("") | NAMES))


def lines_of(cell) -> list[str]:
    return [
        escaped(line.encode("utf-8", "backslashreplace").decode())
        for line in ([cell] if isinstance(cell, str) else cell)
    ]


def without_spaces(text: str) -> str:
    return text.replace(" ", "")


def is_subsequence(text: str, of: str) -> bool:
    rest = iter(of)
    return all(char in rest for char in text)


@given(tables(), st.sampled_from(WIDTHS))
@settings(max_examples=300, deadline=None)
def test_no_line_is_wider_than_the_width(table, width):
    assert max(map(cell_len, lay_out(table, width))) <= width


@given(tables(), st.sampled_from(WIDTHS))
@settings(max_examples=300, deadline=None)
def test_nothing_steers_a_terminal_and_every_line_is_one(table, width):
    assert all(line.isprintable() for line in lay_out(table, width))


@given(tables(), st.sampled_from(WIDTHS))
@settings(max_examples=300, deadline=None)
def test_keys_and_numbers_are_whole_and_of_file_names_the_end(table, width):
    shown = lay_out(table, width)
    text = "\n".join(shown)
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            for line in lines_of(cell):
                if column.role in ("key", "number") and cell_len(line) <= width - 4:
                    assert line.rstrip(" ") in text
                elif column.role == "file" and cell_len(line) > width:
                    assert line[-4:] in text


@given(tables(), st.sampled_from(WIDTHS))
@settings(max_examples=300, deadline=None)
def test_but_for_the_middle_of_file_names_nothing_is_lost(table, width):
    text = "".join(lay_out(table, width))
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            for line in lines_of(cell):
                if column.role != "file" or CUT not in text:
                    assert is_subsequence(without_spaces(line), without_spaces(text))
    for column in table.columns:
        assert is_subsequence(without_spaces(column.title), without_spaces(text))


@given(st.lists(OF_ROLE["file"], min_size=2, max_size=5, unique_by=escaped), st.sampled_from(WIDTHS))
@settings(max_examples=300, deadline=None)
def test_images_that_differ_look_different(names, width):
    table = table_of(
        Column("image", "file"), "class", Column("AP", "number"), rows=[(name, "cat", "0.123") for name in names]
    )
    lines = lay_out(table, width)
    if any(RULE in line for line in lines):  # side by side, a line a name
        assert len({line.split("  ")[0] for line in lines[2:]}) == len({lines_of(name)[0] for name in names})


@given(NAMES, st.integers(2, 60))
def test_what_is_folded_is_no_wider_and_whole(text, width):
    lines = fold(escaped(text), width)
    assert max(map(cell_len, lines)) <= width
    assert without_spaces("".join(lines)) == without_spaces(escaped(text))


@given(NAMES.map(escaped), st.integers(4, 60))
def test_a_shortened_name_keeps_its_end(name, width):
    short = shorten(name, width)
    assert cell_len(short) <= width
    if short != name:
        head, tail = short.split(CUT)[0], short.split(CUT)[-1]
        assert name.startswith(head)
        assert name.endswith(tail)
        assert cell_len(tail) >= cell_len(head)


ROWS = [("focal", "0.385", ["+0.025 [+0.013, +0.037]", "better"]), ("ohem-budget=64", "0.279", "-")]
COMPARED = table_of("recipe", Column("AP", "number"), "difference in AP", rows=ROWS)


def test_side_by_side():
    assert lay_out(COMPARED, 80) == [
        "recipe             AP  difference in AP",
        "─" * 46,
        "focal           0.385  +0.025 [+0.013, +0.037]",
        "                       better",
        "ohem-budget=64  0.279  -",
    ]


def test_one_part_under_another():
    assert lay_out(COMPARED, 45) == [
        "recipe             AP",
        "─" * 21,
        "focal           0.385",
        "ohem-budget=64  0.279",
        "",
        "recipe          difference in AP",
        "─" * 39,
        "focal           +0.025 [+0.013, +0.037]",
        "                better",
        "ohem-budget=64  -",
    ]


def test_rows_that_the_first_column_does_not_tell_apart_stay_together():
    twice = Table(COMPARED.columns, [ROWS[0], ("focal", "0.1", "-")])
    assert lay_out(twice, 35)[:2] == ["recipe: focal", "  AP: 0.385"]


def test_a_record_after_another():
    assert lay_out(COMPARED, 30) == [
        "recipe: focal",
        "  AP: 0.385",
        "  difference in AP:",
        "    +0.025 [+0.013, +0.037]",
        "    better",
        "recipe: ohem-budget=64",
        "  AP: 0.279",
        "  difference in AP: -",
    ]


def test_titles_are_folded_before_anything_else():
    table = table_of("a b", Column("peak memory", "number"), rows=[("x" * 30, "5")])
    assert lay_out(table, 40)[:3] == [f"{'':30}    peak", f"{'a b':30}  memory", RULE * 38]


def test_names_that_would_look_alike_stand_whole():
    names = [f"{letter}{'x' * 90}/0001.jpg" for letter in "ab"]
    names += [f"{'y' * 60}{letter}{'x' * 60}/0001.jpg" for letter in "ab"]
    lines = lay_out(table_of(Column("image", "file"), "class", rows=[(name, "cat") for name in names]), 40)
    assert lines[0].startswith("image:")
    assert all(name in "".join(line.strip() for line in lines) for name in names)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_an_encoding_lacks_is_shown_by_what_it_has(encoding):
    table = table_of("é漢", Column("image", "file"), rows=[("猫", f"{'x' * 90}.jpg")])
    lines = lay_out(table, 40, encoding)
    "\n".join(lines).encode(encoding)
    assert max(map(cell_len, lines)) <= 40
    assert "\\u732b" in "".join(lines)


def test_a_table_without_rows_says_its_titles():
    assert lay_out(table_of("class", Column("objects", "number"), rows=[]), 40) == ["class  objects", RULE * 14]


def test_no_terminal_is_too_narrow():
    assert re.sub(r"\s", "", "".join(lay_out(COMPARED, 1))).count("ohem-budget=64") >= 1
