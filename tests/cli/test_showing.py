import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len

from hardmine.cli.layout import Column, table_of
from hardmine.cli.showing import show_all, wrap

TABLE = table_of("class", Column("objects", "number"), rows=[("cat", "3")])
PATH = f"/data/{'long ' * 3}{'x' * 100}"


@pytest.fixture
def shown(capsys, monkeypatch):
    def run(*parts, columns=80, is_terminal=False) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TTY_COMPATIBLE", str(int(is_terminal)))
        show_all(*parts)
        return capsys.readouterr().out.splitlines()

    return run


def test_tables_stand_between_empty_lines(shown):
    assert shown("before", TABLE, TABLE, "after") == [
        "before",
        "",
        *(table := ["class  objects", "─" * 14, "cat          3"]),
        "",
        *table,
        "",
        "after",
    ]


def test_a_sentence_is_one_line_in_a_file_and_wrapped_on_a_terminal(shown):
    assert shown(f"Written: {PATH}", columns=40) == [f"Written: {PATH}"]
    assert shown(f"Written: {PATH}", columns=40, is_terminal=True) == ["Written: /data/long long long", "x" * 100]


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_table_is_as_wide_as_asked_on_a_terminal_and_elsewhere(shown, is_terminal, columns):
    table = table_of("recipe", *map(str, range(40)), rows=[["focal", *["0.385"] * 40]])
    lines = shown(table, columns=columns, is_terminal=is_terminal)
    assert columns - 9 < max(map(len, lines)) <= columns


def test_without_a_width_a_file_has_80_columns(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    show_all(table_of("recipe", *map(str, range(40)), rows=[["focal", *["0.385"] * 40]]))
    assert 71 < max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_names_steer_no_terminal(shown):
    assert shown("Written: a\x1b[2J\nb", is_terminal=True) == [r"Written: a\x1b[2J\nb"]


@given(st.text(st.sampled_from("ab 猫"), max_size=60), st.integers(4, 30))
@settings(deadline=None)
def test_wrapped_lines_fit_or_are_one_word_and_nothing_is_lost(sentence, width):
    lines = wrap(sentence, width)
    assert " ".join(lines).split() == sentence.split()
    assert all(cell_len(line) <= width or len(line.split()) == 1 for line in lines)
