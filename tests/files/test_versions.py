"""What is installed has a version; what is not says so."""

from importlib.metadata import version

from hardmine.files.versions import version_of


def test_a_version_is_that_of_the_package_or_says_that_there_is_none():
    assert version_of("torch") == version("torch")
    assert version_of("no-such-package") == "not installed, run from its source"
