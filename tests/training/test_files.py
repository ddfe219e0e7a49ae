import errno
import json
import math
import os

import pytest

from hardmine.errors import RunError
from hardmine.training.files import write_atomically, write_json


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
    with pytest.raises(RunError, match="No space left on device") as error:
        write_atomically(tmp_path / "a", b"new")
    assert "\n" not in str(error.value)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path):
    with pytest.raises(RunError, match="No such file or directory"):
        write_atomically(tmp_path / "missing" / "a", b"")


def test_a_name_that_is_too_long_is_an_error_in_one_line(tmp_path):
    with pytest.raises(RunError, match="File name too long"):
        write_atomically(tmp_path / ("a" * 300), b"")


def test_json_can_be_read_by_anyone(tmp_path):
    write_json(tmp_path / "a.json", {"ap": None, "loss": 0.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"ap": None, "loss": 0.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
