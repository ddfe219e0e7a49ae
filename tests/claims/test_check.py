import json
from dataclasses import replace

import numpy as np
import pytest

from hardmine.claims import check as module, table
from hardmine.claims.check import check_claims, command_of, dry_run, unfinished
from hardmine.claims.claim import Claim, Contrast, Measurement, cell
from hardmine.claims.runs import Runs, Training
from hardmine.claims.scales import SCALES
from hardmine.cli.recipe_arguments import parse_recipe
from hardmine.errors import DataError, RunError
from hardmine.training import TrainingConfig

CELL = cell("fasterrcnn", "ohem", budget=16)
SMALL = SCALES["small"]


def claim(slug, value=0.1, cells=(), error=None) -> Claim:
    def measure(runs) -> Measurement:
        if error:
            raise error
        return Measurement(
            [Contrast("gain", np.array([value, value + 0.01, value]))], {"AP": np.array([0.1, 0.2, 0.3])}
        )

    return Claim(slug=slug, ids=("1",), words="words", source="paper", published="1", measure=measure, cells=cells)


@pytest.fixture
def only(monkeypatch):
    """Makes these the claims that there are."""

    def set_claims(*claims):
        monkeypatch.setattr("hardmine.claims.written.CLAIMS", claims)
        return claims

    return set_claims


def entries(out):
    return {entry["slug"]: entry for entry in json.loads((out / "claims.json").read_text())["claims"]}


def test_claims_are_judged_and_written(only, tmp_path):
    claims = only(claim("better"), claim("worse", -0.1))
    checked = check_claims(claims, SMALL, tmp_path / "out")
    assert [of.verdict for of in checked] == ["holds", "does not hold"]
    written = entries(tmp_path / "out")
    assert written["better"]["verdict"] == "holds"
    assert written["better"]["numbers"] == {"AP": [0.1, 0.2, 0.3]}
    assert written["worse"]["findings"][0]["by_seed"] == pytest.approx([-0.1, -0.09, -0.1])
    assert "| `worse` (1) |" in (tmp_path / "out/claims.md").read_text()


def test_a_folder_that_is_taken_is_refused_and_gone_on_with(only, tmp_path):
    claims = only(claim("a"), claim("b"))
    check_claims(claims[:1], SMALL, tmp_path / "out")
    with pytest.raises(RunError, match="--resume"):
        check_claims(claims, SMALL, tmp_path / "out")
    check_claims(claims[1:], SMALL, tmp_path / "out", resume=True)
    assert list(entries(tmp_path / "out")) == ["a", "b"], "what was checked before stays"


def test_what_is_not_trained_is_not_run_yet(only, tmp_path):
    claims = only(claim("trained", cells=(CELL,)), claim("plain"))
    checked = check_claims(claims, SMALL, tmp_path / "out", only_finished=True)
    assert [of.verdict for of in checked] == ["not run yet", "holds"]
    assert not (tmp_path / "out/runs").exists()
    assert "`hardmine claims trained --scale small" in (tmp_path / "out/claims.md").read_text()


def test_a_claim_that_cannot_be_measured_keeps_no_other_from_it(only, tmp_path):
    claims = only(claim("broken", error=DataError("nothing found")), claim("plain"))
    checked = check_claims(claims, SMALL, tmp_path / "out")
    assert [of.verdict for of in checked] == ["not measured", "holds"]
    assert "nothing found" in (tmp_path / "out/claims.md").read_text()


def test_trainings_come_before_the_measure_and_once(only, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(Runs, "train", lambda self, cells, jobs, progress: order.append((cells, jobs)))
    monkeypatch.setattr(Runs, "missing", lambda self, cells: [])
    monkeypatch.setattr(module, "judge_contrasts", lambda contrasts, num: order.append("judged") or [])
    monkeypatch.setattr(Runs, "dataset", [0] * 10)
    check_claims(only(claim("a", cells=(CELL,))), SMALL, tmp_path / "out", jobs=2)
    assert order == [((CELL,), 2), "judged"]


def test_a_training_that_two_claims_need_is_left_once(tmp_path):
    claims = [claim("a", cells=(CELL,)), claim("b", cells=(CELL, cell("fasterrcnn", "random")))]
    assert len(unfinished(claims, Runs(tmp_path, SMALL))) == 2 * 3


def test_a_command_says_what_the_configuration_says(tmp_path):
    config = SMALL.config(replace(CELL, label_errors="dropped=.4"), 2)
    words = command_of(config, tmp_path).split()
    given = dict(zip(words[2::2], words[3::2], strict=True))
    choice = parse_recipe(given["--recipe"])
    assert TrainingConfig(
        recipe=choice.name, recipe_options=choice.options, seed=int(given["--seed"]), epochs=int(given["--epochs"]),
        lr=float(given["--lr"]), batch_size=int(given["--batch-size"]), label_errors=given["--label-errors"],
    ) == config  # fmt: skip


def test_a_dry_run_names_data_that_are_not_there():
    commands = dry_run(table.claims_called(["ohem-improves"]), SCALES["full"], "runs")
    assert all("--data VOC" in command and "--backbone resnet50" in command for command in commands)
    assert any("--recipe ohem:nms_iou=None" in command for command in commands)
    assert commands[0].endswith(f"--out runs/runs/{Training(cell('fasterrcnn', 'random'), 0).folder}")
