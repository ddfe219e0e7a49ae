import string

from hypothesis import given, strategies as st

from hardmine.report.names import measure_name, shown


@given(st.text())
def test_what_is_shown_can_be_seen(text):
    assert shown(text).isprintable()


@given(st.text(string.ascii_letters + string.punctuation + " äß漢"))
def test_what_can_be_seen_stays(text):
    assert shown(text) == text


def test_what_steers_text_is_escaped():
    assert shown("a\u202eb\u2028\x1b") == r"a\u202eb\u2028\x1b"
    assert shown("\ud800") == r"\ud800"


def test_measures_have_names():
    assert measure_name("error_background") == "background taken for an object"
    assert measure_name("loss_classifier") == "loss classifier"
