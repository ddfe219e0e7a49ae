"""One tree: whoever catches HardmineError catches all."""

import errno
import inspect
import os

import polars as pl
import pytest

from hardmine import errors
from hardmine.errors import ConfigError, HardmineError, check_name, what_failed

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_in_the_tree_and_drawn_in_its_docstring(kind):
    assert issubclass(kind, HardmineError)
    assert issubclass(kind, ValueError)
    assert kind.__name__ in errors.__all__
    assert kind.__name__ in errors.__doc__


def test_an_unknown_name_is_answered_with_the_nearest():
    check_name("recipe", "ohem", ["ohem", "focal"])
    with pytest.raises(ConfigError, match=r"ohemm.*ohem"):
        check_name("recipe", "ohemm", ["ohem", "focal"])


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "can be written"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ENOENT, "check the path"),
        (errno.EISDIR, "expected a file"),
        (errno.EIO, "check the disk"),
    ],
)
def test_each_error_of_the_system_has_its_own_remedy(number, remedy):
    for error in (OSError(number, os.strerror(number)), OSError(f"{os.strerror(number)} (os error {number})")):
        said = what_failed(error)
        assert said.startswith(f"{os.strerror(number)}; ")
        assert remedy in said
        assert ("make room" in said) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_errors_of_polars_and_without_a_number_are_one_line():
    full = pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)")
    assert what_failed(full) == "No space left on device; make room"
    assert what_failed(pl.exceptions.ComputeError("bad\npage")) == "bad page"
    assert what_failed(OSError("odd")) == "odd"
    assert len(what_failed(pl.exceptions.ComputeError("x" * 5000))) == 300
