"""What is wrong with a data set, said record by record.

Readers never drop anything in silence. What they leave out or change goes into a list of `Problem`s, each naming the
file, the record in it, what was got, what was expected and what to do. Two severities:

    error      an image or an object is left out, or cannot be trusted until someone corrects it
    warning    everything is kept, after the adjustment that the message states
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

__all__ = ["Checked", "CheckedSplit", "Problem", "ProblemLog", "errors_first", "short"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one record: `file` and `record` say where, `message` what was got, what was expected, what to do."""

    severity: Literal["error", "warning"]
    file: Path
    record: str  # "annotation id 17", "line 3", "object 2"; empty for the file as a whole
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.file), self.record, self.message) if part)


class ProblemLog:
    """Collects the problems of one file; `within` gives a log of another file that collects into the same list."""

    def __init__(self, file: Path, problems: list[Problem] | None = None):
        self.file = file
        self.problems: list[Problem] = [] if problems is None else problems

    def within(self, file: Path) -> "ProblemLog":
        return ProblemLog(file, self.problems)

    def error(self, record: str, message: str) -> None:
        self.problems.append(Problem("error", self.file, record, message))

    def warning(self, record: str, message: str) -> None:
        self.problems.append(Problem("warning", self.file, record, message))


class CheckedSplit(Protocol):
    """What one split holds, of what can be used."""

    @property
    def split(self) -> str: ...
    @property
    def num_images(self) -> int: ...


Split = TypeVar("Split", bound=CheckedSplit)


@dataclass(frozen=True, slots=True)
class Checked(ABC, Generic[Split]):
    """The answer of a check: contents by split, then problems, errors first, in the order of the files."""

    data: str
    format: str
    splits: tuple[Split, ...]
    problems: tuple[Problem, ...]

    @abstractmethod
    def nothing_to_learn(self, learnt: Sequence[Split]) -> str | None:
        """Why the images of the splits that are learnt from teach nothing; None if they do."""

    @property
    def num_errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def num_warnings(self) -> int:
        return len(self.problems) - self.num_errors

    @property
    def faults(self) -> tuple[str, ...]:
        """Why one cannot train on what is left; nothing if one can. For that no test split is needed, if others are."""
        needed = [split for split in self.splits if split.split != "test"] or list(self.splits)
        learnt = [split for split in needed if split.split in ("train", "trainval")] or needed
        empty = ", ".join(split.split for split in needed if not split.num_images)
        faults = [f"no image of {empty} can be used"] if empty else []
        if any(split.num_images for split in learnt) and (fault := self.nothing_to_learn(learnt)):
            faults.append(fault)
        return tuple(faults)

    @property
    def is_usable(self) -> bool:
        """Whether one can train on what is left."""
        return not self.faults


def errors_first(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Each once: splits that share files repeat what is wrong with them."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.severity != "error"))


def short(value: object) -> str:
    """A value of a file as it stands there, at most 80 characters of it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
