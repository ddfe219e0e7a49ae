"""Errors from outside are one line with code 2; mistakes of our own keep their traceback."""

import errno
import re
import subprocess
import sys
import zlib
from pathlib import Path

import polars as pl
import pytest
from torch.utils.data import DataLoader, Dataset

from hardmine.cli.failures import explain_failure
from hardmine.errors import DataError

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("a.json:\n  odd"), "a.json: odd"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), "runs/a: No space left on device; make room"),
        (OSError(errno.EACCES, "Permission denied", "b"), "b: Permission denied; change its permissions"),
        (OSError("File name too long (os error 36): bbb"), "File name too long; choose a shorter name"),
        (pl.exceptions.ComputeError("parquet: damaged"), "a table cannot be read or written: parquet: damaged"),
        (pl.exceptions.PanicException("index out of bounds"), "a file is damaged so that its reader gave up"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "surrogates not allowed"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError("Unable to allocate 9 TiB"), "memory is full; .*: Unable to allocate 9 TiB"),
        (zlib.error("incorrect header check"), "a compressed file is damaged"),
    ],
)
def test_what_comes_from_outside_is_one_line(hardmine, monkeypatch, error, expected):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("hardmine.data.check", fail)
    done = hardmine("check", "scenes")
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert re.search(expected, done.err)
    assert ("make room" in done.err) == ("No space" in done.err)


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), ValueError("x"), RuntimeError("x")])
def test_our_own_mistakes_keep_their_traceback(hardmine, monkeypatch, error):
    def fail(*_, **__):
        raise error

    assert explain_failure(error) is None
    monkeypatch.setattr("hardmine.data.check", fail)
    with pytest.raises(type(error)):
        hardmine("check", "scenes")


def test_a_line_about_another_library_says_where_in_ours_it_arose(hardmine, monkeypatch):
    def fail(*_, **__):
        raise pl.exceptions.ColumnNotFoundError("weight")

    monkeypatch.setattr("hardmine.data.check", fail)
    assert "(ColumnNotFoundError in cli/app.py, line" in hardmine("check", "scenes").err


class Damaged(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError("a.png: cannot be read\nDataError: as said")


def test_an_error_of_a_process_that_loads_images_is_its_message():
    with pytest.raises(DataError) as error:
        list(DataLoader(Damaged(), num_workers=1))
    assert "Original Traceback" in str(error.value)
    assert explain_failure(error.value) == "a.png: cannot be read DataError: as said"


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_one_line_too():
    command = [sys.executable, "-c", "import sys; from hardmine.cli import main; sys.exit(main())", "recipes"]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "No space left on device; make room\n"


@pytest.mark.parametrize("top", [0, 10**30])
def test_a_number_to_list_beyond_its_range_is_refused(hardmine, top):
    done = hardmine("mine", "--data", "scenes", "--predictions", "none.json", "--out", "none", "--top", str(top))
    assert done.code == 2
    assert "Invalid value for '--top'" in done.err
