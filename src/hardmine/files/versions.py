"""Which versions a run, or what was mined, was made with."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["version_of"]


def version_of(package: str) -> str:
    """The version that is installed, or that it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed, run from its source"
