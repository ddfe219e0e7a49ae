from hypothesis import given, strategies as st

from hardmine.files.printable import LONGEST_LINE, escaped, printable

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()))


def test_names_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\x07\u202ec\ud800\n\td") == r"a\x1b[31mb\x07\u202ec\ud800 d"
    assert printable("Žluťoučký kůň  猫") == "Žluťoučký kůň  猫"


def test_a_long_line_keeps_both_its_ends():
    line = printable("start " + "x" * 100_000 + " end")
    assert len(line) < LONGEST_LINE + 10
    assert line.startswith("start ")
    assert line.endswith(" end")


@given(ANYTHING)
def test_what_is_escaped_is_one_line_from_which_nothing_is_missing(text):
    shown = escaped(text)
    assert shown.isprintable()
    assert shown == text if text.isprintable() else len(shown) > len(text)


@given(ANYTHING)
def test_a_message_is_one_line(text):
    assert printable(text).isprintable()
    assert "\n" not in printable(text)
