"""One tree: whoever catches HardmineError catches all."""

import inspect

import pytest

from hardmine import errors
from hardmine.errors import ConfigError, HardmineError, check_name

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
