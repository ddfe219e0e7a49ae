"""Numbers that other people's implementations gave, to agree with or to differ from for a stated reason.

A module names its methods in ``GOLDEN``; each test that takes ``case`` then runs over all cases of them.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hardmine import BACKGROUND, IGNORE

FOLDER = Path(os.environ.get("HARDMINE_SHARED", Path(__file__).parents[3] / "shared")) / "golden"


@dataclass(frozen=True)
class Case:
    """One call of the reference: what went in and what came out."""

    method: str
    kind: str
    params: dict[str, Any]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    if not (FOLDER / "INDEX.json").is_file():
        reason = f"golden numbers are not there ({FOLDER}); set HARDMINE_SHARED to run this"
        metafunc.parametrize("case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))])
        return
    index = json.loads((FOLDER / "INDEX.json").read_text())["methods"]
    names = [(method, name) for method in metafunc.module.GOLDEN for name in index[method]["cases"]]
    cases = [_read(method, name, index[method]["cases"][name]) for method, name in names]
    metafunc.parametrize("case", cases, ids=[f"{method}-{name}" for method, name in names])


@pytest.fixture
def one_class(case: Case) -> tuple[Tensor, Tensor]:
    """The flat scores of a ranking loss as one image of one class: logits (1, N, 1) and labels (1, N)."""
    target = case.given["target"][None]
    labels = torch.where(target == 0, BACKGROUND, torch.where(target > 0, 0, IGNORE))
    return case.given["logits"].double().view(1, -1, 1).requires_grad_(), labels


@pytest.fixture
def of_buckets(case: Case) -> Tensor:
    """The flat scores as the bucketed losses see them, (N,): negatives with the mean score of their bucket.

    A bucket is the run of negatives between two positives in the order of scores, where of equal scores positives come
    first. Negatives below the window of the lowest positive are no part of any. Without positives nothing is changed.
    """
    scores, target = case.given["logits"].double(), case.given["target"]
    positive, seen = (target == 1).nonzero().flatten(), scores.clone()
    least = scores[positive].min() - case.params["delta"] if len(positive) else torch.inf
    sorted_places = torch.cat([positive, ((target == 0) & (scores >= least)).nonzero().flatten()])
    sorted_places = sorted_places[scores[sorted_places].argsort(descending=True, stable=True)]
    bucket, is_negative = (target[sorted_places] == 1).cumsum(0), target[sorted_places] == 0
    for number in bucket[is_negative].unique():
        places = sorted_places[is_negative & (bucket == number)]
        seen[places] = scores[places].mean()
    return seen


def _read(method: str, name: str, entry: dict[str, Any]) -> Case:
    with np.load(FOLDER / entry["file"]) as arrays:
        mine = {key.removeprefix(f"{name}/"): arrays[key] for key in arrays.files if key.startswith(f"{name}/")}
    sides = {
        side: {key.removeprefix(side): torch.from_numpy(value) for key, value in mine.items() if key.startswith(side)}
        for side in ("in.", "out.")
    }
    return Case(method, entry["kind"], entry["params"], sides["in."], sides["out."])
