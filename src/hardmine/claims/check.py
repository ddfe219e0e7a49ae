"""Claims checked one after the other: trained what is missing, measured, judged, written down.

What lies in the folder:

    runs/<cell>/seed<k>   ordinary run folders, shared by all claims
    claims.json           what was found: contrasts with their intervals, verdicts, numbers by seed
    claims.md             the same as a table

Both are written anew after each claim, so what is stopped has said what it knows, and goes on where it was.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hardmine.claims.claim import NO_DATA, Cell, Claim
from hardmine.claims.contrasts import Finding, Verdict, judge_contrasts, overall
from hardmine.claims.runs import Runs, Training
from hardmine.claims.scales import Scale
from hardmine.claims.written import NOT_MEASURED, NOT_RUN, as_markdown, merged, read_entries
from hardmine.comparison.compare import refuse_taken
from hardmine.errors import DataError, RunError
from hardmine.files.writing import write_atomically, write_json
from hardmine.training import TrainingConfig
from hardmine.training.run import make_detector

__all__ = ["Checked", "check_claims", "command_of", "dry_run", "unfinished"]

logger = logging.getLogger("hardmine")

RESULTS, TABLE = "claims.json", "claims.md"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of a claim.

    findings: its contrasts; empty where it was not run yet.  numbers: by seed.  scale, data: where it ran.
    problem: why it cannot be measured, such as a training that diverged.
    seconds: of measuring, without the trainings.
    """

    claim: Claim
    scale: str
    data: str
    seeds: tuple[int, ...]
    findings: tuple[Finding, ...] = ()
    numbers: dict[str, list[float]] = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict | str:
        """Of all contrasts together; without any, "not run yet" or "not measured"."""
        return overall(self.findings) if self.findings else NOT_MEASURED if self.problem else NOT_RUN

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        claim = {name: getattr(self.claim, name) for name in ("slug", "ids", "words", "source", "published", "notes")}
        return claim | {
            "cells": [cell.label for cell in self.claim.cells],
            "scale": self.scale,
            "data": self.data,
            "seeds": list(self.seeds),
            "verdict": self.verdict,
            "findings": [finding.to_dict() for finding in self.findings],
            "numbers": self.numbers,
            "problem": self.problem,
            "seconds": self.seconds,
        }


def check_claims(
    claims: Sequence[Claim],
    scale: Scale,
    out: Path | str,
    *,
    resume: bool = False,
    only_finished: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Checked]:
    """Trains what the claims need, measures and judges them; leaves all in `out`.

    Args:
        resume: `out` is there already: what is finished in it is kept.
        only_finished: train nothing, and leave out what is not finished.
        jobs: trainings at a time; None: as many as suit.

    Raises:
        ConfigError, DataError: a training that cannot start, or data that cannot be used.
        RunError: `out` is taken and `resume` is not given, or a run in it is of another training.
    """
    runs = Runs(Path(out), scale)
    refuse_taken(runs.folder, resume=resume or only_finished)
    runs.folder.mkdir(parents=True, exist_ok=True)
    checked: list[Checked] = []
    clock = _Clock(runs, claims)
    for number, claim in enumerate(claims, start=1):
        if not only_finished:
            clock.tell(number, claim)
            runs.train(claim.cells, jobs, progress=progress)
        checked.append(_check(claim, runs))
        logger.info("%s: %s", claim.slug, checked[-1].verdict)
        _write(runs.folder, checked[-1])
    return checked


def unfinished(claims: Sequence[Claim], runs: Runs) -> list[Training]:
    """The trainings that these claims still need, each once."""
    return runs.missing([cell for claim in claims for cell in claim.cells])


def dry_run(claims: Sequence[Claim], scale: Scale, out: Path | str) -> list[str]:
    """The command of every training that the claims need, after its configuration was tried on a small detector.

    A scale without data is written out with the word COCO or VOC in the place of the path.

    Raises: ConfigError, EvidenceError: a configuration that cannot be trained.
    """
    commands: dict[Cell, list[str]] = {}
    for claim in claims:
        runs = Runs(Path(out), scale if scale.data else replace(scale, data=claim.data))
        for cell in claim.cells:
            if cell not in commands:
                configs = {training: runs.scale.config(cell, training.seed) for training in runs.trainings([cell])}
                _refuse_untrainable(next(iter(configs.values())))
                commands[cell] = [command_of(config, runs.path(training)) for training, config in configs.items()]
    return [command for of_cell in commands.values() for command in of_cell]


def command_of(config: TrainingConfig, out: Path) -> str:
    """The command that trains just this."""
    usual = TrainingConfig()
    options = {name: getattr(config, name) for name in config.__dataclass_fields__}
    changed = {name: value for name, value in options.items() if value != getattr(usual, name)}
    recipe = ",".join(f"{name}={value}" for name, value in config.recipe_options.items())
    changed |= {"recipe": f"{config.recipe}:{recipe}" if recipe else config.recipe, "seed": config.seed}
    changed.pop("recipe_options", None)
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in changed.items())
    return f"hardmine train {given} --out {out}"


def _refuse_untrainable(config: TrainingConfig) -> None:
    """Puts the recipe on a small detector of the same kind, which needs no data and no weights."""
    make_detector(replace(config, backbone="micro", weights="none", image_size=None), num_classes=1, load=False)


def _check(claim: Claim, runs: Runs) -> Checked:
    scale = runs.scale
    data = NO_DATA if claim.data == NO_DATA else scale.data or claim.data
    plain = Checked(claim, scale.name, data, runs.seeds)
    if runs.missing(claim.cells):
        return plain
    start = time.perf_counter()
    try:
        measurement = claim.measure(runs)
        findings = judge_contrasts(measurement.contrasts, len(runs.dataset) if claim.cells else None)
    except (DataError, RunError) as error:  # one claim that fails must not keep the others from being measured
        logger.warning("%s cannot be measured: %s", claim.slug, error)
        return replace(plain, problem=str(error))
    numbers = {name: [float(value) for value in by_seed] for name, by_seed in measurement.numbers.items()}
    return replace(plain, findings=tuple(findings), numbers=numbers, seconds=time.perf_counter() - start)


def _write(folder: Path, checked: Checked) -> None:
    """Puts a claim among those that were checked before, perhaps by other commands."""
    entries = merged(read_entries(folder / RESULTS), [checked.to_dict()])
    write_json(folder / RESULTS, {"claims": entries})
    write_atomically(folder / TABLE, as_markdown(entries).encode())


class _Clock:
    """Says before each claim what is left, and how long that takes if it goes on as it did."""

    def __init__(self, runs: Runs, claims: Sequence[Claim]) -> None:
        self.runs, self.claims = runs, claims
        self.start, self.num = time.perf_counter(), len(unfinished(claims, runs))

    def tell(self, number: int, claim: Claim) -> None:
        left = len(unfinished(self.claims[number - 1 :], self.runs))
        done = self.num - left
        minutes = f", about {(time.perf_counter() - self.start) / done * left / 60:.0f} min" if done and left else ""
        place = f"claim {number} of {len(self.claims)}"
        logger.info("%s, %s; trainings left: %d%s", place, claim.slug, left, minutes)
