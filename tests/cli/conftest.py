"""The command line as a user has it: arguments in; exit code, stdout and stderr out."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from hardmine.cli import main
from tests.seen_masks import masked_data

__all__ = ["Outcome", "few_scenes", "hardmine", "masked_data"]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def hardmine(capsys, monkeypatch) -> Iterator[Callable[..., Outcome]]:
    """Runs a command in this process, 80 columns wide and without a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    logger = logging.getLogger("hardmine")
    level = logger.level

    def run(*arguments: str) -> Outcome:
        code = main(arguments)
        return Outcome(code, *capsys.readouterr())

    yield run
    logger.setLevel(level)


@pytest.fixture
def few_scenes(monkeypatch):
    """The built-in scenes, but few of them."""
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 4, "val": 4})
