"""What a folder that was given is: a run, a comparison, several, a loop, what was mined, a diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hardmine.errors import DataError
from hardmine.files.reading import parse_json, read_text

__all__ = ["Given", "read_facts", "recognise"]

Kind = Literal["run", "comparison", "comparisons", "rounds", "mined", "mined masks", "diagnosis"]
COMPARED, ROUNDS, DIAGNOSED, METRICS, CONFIG = (
    "compare.json",
    "rounds.json",
    "diagnosis.json",
    "metrics.jsonl",
    "config.json",
)
MINED: Mapping[Kind, Sequence[str]] = {
    "mined": ("images.parquet", "objects.parquet", "predictions.parquet", "suspects.parquet"),
    "mined masks": ("images.parquet", "regions.parquet", "classes.parquet"),
}
EXPECTED = (
    "expected the folder of a run (config.json, metrics.jsonl), of a comparison (compare.json), of a loop "
    "(rounds.json), a mined folder (suspects.parquet, of masks regions.parquet), or a diagnosis (diagnosis.json)"
)


@dataclass(frozen=True, slots=True)
class Given:
    """One thing to report on.  folder: where it lies.  facts: what its JSON file says; empty without one."""

    kind: Kind
    folder: Path
    facts: dict[str, Any]


def recognise(path: Path) -> list[Given]:
    """What lies at a path, in the order in which a reader wants it; a run may hold its diagnosis.

    Raises: DataError: nothing that is known, or a file of it that cannot be read.
    """
    if path.is_file():
        return [_of_file(path)]
    found: list[Given] = []
    if (path / COMPARED).exists():
        found.append(_of_file(path / COMPARED))
    if (path / ROUNDS).exists():
        found += _of_rounds(path)
    for kind, files in MINED.items():
        if all((path / name).exists() for name in files):
            facts = path / "mined.json"
            found.append(Given(kind, path, read_facts(facts) if facts.exists() else {}))
    if (path / METRICS).exists():
        found.append(Given("run", path, read_facts(path / CONFIG)))
    if (path / DIAGNOSED).exists():
        found.append(_of_file(path / DIAGNOSED))
    if not found:
        what = f"{path} has nothing to report on" if path.exists() else f"there is no {path}"
        raise DataError(f"{what}; {EXPECTED}")
    return found


def read_facts(file: Path) -> dict[str, Any]:
    """A JSON object. Raises: DataError: it cannot be read, or is none."""
    try:
        facts = parse_json(read_text(file))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is no JSON: {error}; write it again") from error
    if not isinstance(facts, dict):
        raise DataError(f"{file}: expected a JSON object, got {type(facts).__name__}")
    return facts


def _of_file(file: Path) -> Given:
    facts = read_facts(file)
    if "sentences" in facts and "recipes" in facts:
        return Given("diagnosis", file.parent, facts)
    if "on" in facts and "across" in facts:
        return Given("comparisons", file.parent, facts)
    if "recipes" in facts and "notes" in facts:
        return Given("comparison", file.parent, facts)
    raise DataError(f"{file} is none of hardmine's results; {EXPECTED}")


def _of_rounds(path: Path) -> list[Given]:
    """The table of the rounds, each run, and what was mined last."""
    facts = read_facts(path / ROUNDS)
    num = len(rounds) if isinstance(rounds := facts.get("rounds"), Sequence) else 0
    runs = [path / f"round{number}" for number in range(1, num + 1)]
    given = [Given("rounds", path, facts)]
    given += [Given("run", run, read_facts(run / CONFIG)) for run in runs if (run / METRICS).exists()]
    mined = path / f"mined{num - 1}"
    return given + (recognise(mined) if mined.exists() else [])
