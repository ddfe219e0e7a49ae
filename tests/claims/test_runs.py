from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardmine.claims import runs as module
from hardmine.claims.claim import cell
from hardmine.claims.runs import Runs, Training
from hardmine.claims.scales import Scale
from hardmine.errors import RunError
from hardmine.training import RunFolder

RANDOM, OHEM = cell("fasterrcnn", "random"), cell("fasterrcnn", "ohem", budget=16)


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """Trainings as they are asked for; none is made, but for their folders. Those of OHEM under seed 1 diverge."""
    asked: list[str] = []

    def train_all(jobs, num_processes, *, resume, progress):
        results = []
        for job in jobs:
            asked.append(job.name)
            diverges = job.config.recipe == "ohem" and job.config.seed == 1
            folder = RunFolder(job.folder)
            folder.start_or_continue(job.config, {})
            if not diverges:
                folder.weights.write_bytes(b"")
            results.append(None if diverges else job)
        return results

    monkeypatch.setattr(module, "train_all", train_all)
    return asked


@pytest.fixture
def runs(small_data, tmp_path) -> Runs:
    return Runs(tmp_path / "claims", small(small_data))


def small(data: Path) -> Scale:
    changes = {"backbone": "tiny", "image_size": 64, "epochs": 1, "batch_size": 8, "workers": 0}
    return Scale("small", (0, 1), changes, data=str(data))


def test_what_is_finished_is_not_trained_again_whoever_asked(runs, trained):
    runs.train([RANDOM])
    assert trained == ["fasterrcnn-random, seed 0", "fasterrcnn-random, seed 1"]
    runs.train([OHEM, RANDOM])
    assert trained[2:] == ["fasterrcnn-ohem-budget=16, seed 0", "fasterrcnn-ohem-budget=16, seed 1"]
    assert runs.missing([RANDOM, OHEM]) == []
    runs.train([RANDOM, OHEM, RANDOM])
    assert len(trained) == 4


def test_what_was_stopped_goes_on(runs, trained):
    runs.train([RANDOM])
    RunFolder(runs.path(Training(RANDOM, 1))).weights.unlink()
    assert runs.missing([RANDOM]) == [Training(RANDOM, 1)]
    runs.train([RANDOM])
    assert trained[2:] == ["fasterrcnn-random, seed 1"]


def test_a_training_that_diverged_is_an_answer(runs, trained):
    runs.train([OHEM])
    diverged = Training(OHEM, 1)
    assert [runs.is_diverged(of) for of in runs.trainings([OHEM])] == [False, True]
    assert runs.missing([OHEM]) == []
    assert runs.predictions(diverged) == []
    assert np.isnan(runs.last(OHEM, "ap")[1]) if runs.rows(Training(OHEM, 0)) else runs.rows(diverged) == []
    with pytest.raises(RunError, match="diverged"):
        runs.trained(diverged)


def test_a_folder_of_another_training_is_refused(runs, trained):
    runs.train([RANDOM])
    other = Runs(runs.folder, replace(runs.scale, changes=runs.scale.changes | {"epochs": 2}))
    with pytest.raises(RunError, match="epochs"):
        other.missing([RANDOM])


def test_measures_are_those_of_the_runs(runs):
    runs.train([RANDOM], 1, progress=False)
    ap = runs.measure(RANDOM)
    assert ap.shape == (1 + 1000, 2)
    assert ap[0] == pytest.approx(runs.last(RANDOM, "ap"))
    (first, _) = runs.trainings([RANDOM])
    assert len(runs.rows(first)) == 1
    assert runs.trained(first).loaded.config.seed == 0
    assert runs.trained(first, on_measured=True).source.endswith("of run seed0")
    assert "val" in runs.trained(first, on_measured=True).source
