"""What others wrote is read whole, in its encoding, or refused at once."""

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from hardmine.errors import DataError
from hardmine.files.reading import check_regular, parse_json, read_bytes, read_pieces, read_text

TEXT = "names: [Žluťoučký kůň, 猫]\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_the_same_in_each_encoding_that_says_its_name(tmp_path, encoding):
    (tmp_path / "a.yaml").write_text(TEXT, encoding=encoding)
    assert read_text(tmp_path / "a.yaml") == TEXT


def test_big_endian_text_with_a_mark_is_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read_text(tmp_path / "a.yaml") == TEXT


@pytest.mark.parametrize("content", ["caf\xe9".encode("latin-1"), b"\xff\xfea", b"\xed\xa0\x80"])
def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt: cannot be read as utf-\d+, byte \d.* expected text in UTF-8"):
        read_text(tmp_path / "a.txt")


def test_a_file_above_the_limit_is_refused_unread(tmp_path):
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(DataError, match="it has 1,099,511,627,776 bytes; expected at most"):
        read_bytes(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"1234")
    assert read_bytes(tmp_path / "b", 4) == b"1234"
    with pytest.raises(DataError, match="expected at most 3"):
        read_bytes(tmp_path / "b", 3)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    os.mkfifo("pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path, kind in (
            ("pipe", "a pipe"),
            ("folder", "a folder"),
            ("socket", "a socket"),
            ("/dev/zero", "a device"),
        ):
            with pytest.raises(DataError, match=f"cannot read .*{path}: it is {kind}; expected a regular file"):
                read_bytes(Path(path))


@pytest.mark.parametrize("name", ["missing", "a" * 300, "a\0b", "\ud800"])
def test_a_name_that_is_nowhere_is_one_line(tmp_path, name):
    with pytest.raises(DataError, match="cannot read") as error:
        check_regular(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a file that says it has 0 bytes")
def test_a_file_that_hides_its_size_is_read_no_further_than_the_limit():
    with pytest.raises(DataError, match="more than 10 bytes"):
        read_bytes(Path("/proc/self/status"), 10)


def test_pieces_are_the_whole(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    monkeypatch.setattr("hardmine.files.reading._AT_A_TIME", 7)
    assert b"".join(read_pieces(tmp_path / "a")) == bytes(range(100))
    assert max(map(len, read_pieces(tmp_path / "a"))) == 7


TOKENS = st.sampled_from(
    (
        *(b"[", b"]", b"{", b"}", b",", b":", b" ", b"\n", b'"a"', b'"a"', b'"\\ud800"', b'"\xc3\xa9"', b'"\xff"'),
        *(b"0", b"-0", b"-0.0", b"01", b"1.", b"1e400", b"1e-400", b"0.1", b"9007199254740993", b"9" * 30, b"9" * 5000),
        *(b'"\x01"', b"NaN", b"-Infinity", b"true", b"null", b"\xef\xbb\xbf", b"x"),
    )
)


def outcome(parse, content: bytes) -> str:
    try:
        return repr(parse(content))
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


@settings(deadline=None, max_examples=50)
@given(st.lists(TOKENS, max_size=9).map(b"".join))
def test_json_is_read_as_the_standard_library_reads_it(content):
    assert outcome(parse_json, content) == outcome(json.loads, content)
    assert outcome(parse_json, b"[" + content + b"]") == outcome(json.loads, b"[" + content + b"]")


def test_json_in_the_encoding_that_it_is_in():
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"):
        assert parse_json('["é"]'.encode(encoding)) == ["é"]
    with pytest.raises(RecursionError):
        parse_json(b"[" * 10**5)
