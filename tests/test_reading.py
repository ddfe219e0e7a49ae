"""What others wrote is read whole, in its encoding, or refused at once."""

import os
import socket
from pathlib import Path

import pytest

from hardmine.errors import DataError
from hardmine.reading import check_regular, read_bytes, read_text

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
