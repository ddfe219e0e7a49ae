"""What is wrong with a data set, said record by record.

Readers never drop anything in silence. What they leave out or change goes into a list of `Problem`s, each naming the
file, the record in it, what was got, what was expected and what to do. Two severities:

    error      an image or an object is left out, or cannot be trusted until someone corrects it
    warning    everything is kept, after the adjustment that the message states
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Problem", "ProblemLog", "short"]


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


def short(value: object) -> str:
    """A value of a file as it stands there, at most 80 characters of it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
