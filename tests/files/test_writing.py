import errno
import json
import math
import os

import pytest

from hardmine.errors import RunError
from hardmine.files.writing import is_taken, write_atomically, write_json, write_list, write_lists, write_new


def test_replaces_the_content_and_leaves_nothing_else(tmp_path):
    write_atomically(tmp_path / "a", b"old")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device; make room") as error:
        write_atomically(tmp_path / "a", b"new")
    assert "\n" not in str(error.value)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path):
    with pytest.raises(RunError, match="No such file or directory; check the path") as error:
        write_atomically(tmp_path / "missing" / "a", b"")
    assert "make room" not in str(error.value)


def test_a_name_that_is_too_long_is_an_error_in_one_line(tmp_path):
    with pytest.raises(RunError, match="File name too long"):
        write_atomically(tmp_path / ("a" * 300), b"")


@pytest.mark.parametrize("name", ["a" * 255, "\N{PILE OF POO}" * 63])
def test_a_name_as_long_as_a_name_may_be_is_written(tmp_path, name):
    for write in (write_new, write_atomically):
        write(tmp_path / name, b"x")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_what_was_written_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    """Another process comes first, between the check of the caller and the last step."""
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (fsync(number), (tmp_path / "a").write_bytes(b"first")))
    with pytest.raises(RunError, match="File exists; choose another name"):
        write_new(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_unfinished_takes_no_folder(tmp_path):
    assert not is_taken(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.config.json.part").write_bytes(b"{")
    assert not is_taken(tmp_path / "run")
    (tmp_path / "run/notes.part").write_bytes(b"mine")
    assert is_taken(tmp_path / "run")
    os.mkfifo(tmp_path / "pipe")
    assert is_taken(tmp_path / "pipe")


def test_a_path_that_cannot_be_looked_at_is_one_line(tmp_path):
    with pytest.raises(RunError, match=r"cannot look at .* File name too long"):
        is_taken(tmp_path / ("a" * 300))


def test_json_can_be_read_by_anyone(tmp_path):
    write_json(tmp_path / "a.json", {"ap": None, "loss": 0.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"ap": None, "loss": 0.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": math.nan})


@pytest.mark.parametrize("num", [0, 1, 3])
def test_lists_are_written_a_record_a_line_whatever_is_in_it(tmp_path, num):
    records = [{"name": "a\nb\u2028\ud800", "box": [0.1, -0.0, 1e300], "none": None} for _ in range(num)]
    write_list(tmp_path / "a.json", iter(records))
    write_lists(tmp_path / "b.json", {"one": iter(records), "oth\ner": records})
    assert json.loads((tmp_path / "a.json").read_text()) == records
    assert json.loads((tmp_path / "b.json").read_text()) == {"one": records, "oth\ner": records}
    assert (tmp_path / "a.json").read_bytes().count(b"{") == num
    assert (tmp_path / "a.json").read_bytes().count(b"\n{") == num
