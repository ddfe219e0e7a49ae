import json
import re

import pytest

from hardmine.errors import RunError
from hardmine.figures.curves import curves, find_runs
from hardmine.training import TrainingConfig

UNDEFINED = {"ap_small": None}


def write_run(folder, losses=(3.0, 2.0, 1.0), measured=(3,), parts=("boxes", "scores"), **options):
    """A run folder with so many finished epochs, measured after some of them."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(TrainingConfig(**options).to_json())
    rows = []
    for epoch, loss in enumerate(losses, start=1):
        row = {"epoch": epoch, "step": epoch, "lr": 0.1 / epoch, "loss": loss}
        row |= dict.fromkeys(parts, loss / 2) | {"seconds_per_step": 0.5, "peak_memory_of": "words"}
        rows.append(row | ({"ap": 0.1 * epoch, "ap50": 0.2, "ap75": 0.05} | UNDEFINED if epoch in measured else {}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def series_of(figure, title):
    (panel,) = (panel for panel in figure.panels if panel.title == title)
    return {series.name: (list(series.x), list(series.y)) for series in panel.series}


def test_a_run_is_drawn_as_its_rows_say(tmp_path):
    figure = curves({"mine": write_run(tmp_path / "run", measured=(1, 3))})
    assert "mine" in figure.title
    assert series_of(figure, "Loss")["loss"] == ([1, 2, 3], [3.0, 2.0, 1.0])
    assert series_of(figure, "Loss")["boxes"] == ([1, 2, 3], [1.5, 1.0, 0.5])
    assert series_of(figure, "AP on the validation split")["AP"] == ([1, 3], [0.1, pytest.approx(0.3)])
    assert series_of(figure, "Learning rate") == {"lr": ([1, 2, 3], [0.1, 0.05, pytest.approx(0.1 / 3)])}
    assert series_of(figure, "Time of a step") == {"seconds": ([1, 2, 3], [0.5] * 3)}
    assert all(panel.counts == (1, 3) for panel in figure.panels)


def test_what_was_never_measured_has_no_panel(tmp_path):
    figure = curves({"mine": write_run(tmp_path / "run", measured=())})
    assert [panel.title for panel in figure.panels] == ["Loss", "Learning rate", "Time of a step"]


def test_of_several_runs_each_part_of_the_loss_has_a_panel(tmp_path):
    runs = {name: write_run(tmp_path / name, parts=parts) for name, parts in {"a": ("x", "y"), "b": ("y", "z")}.items()}
    figure = curves(runs)
    titles = ["AP on the validation split", "Loss", "x", "y", "z", "Learning rate", "Time of a step"]
    assert [panel.title for panel in figure.panels] == titles
    assert max(len(row) for row in figure.rows) == 3
    assert series_of(figure, "x").keys() == {"a"}
    assert series_of(figure, "y").keys() == {"a", "b"}


def test_seeds_of_one_folder_look_alike_and_nothing_else_does(tmp_path):
    for seed in (1, 10, 11):
        write_run(tmp_path / f"focal/seed{seed}", seed=seed)
        write_run(tmp_path / f"focal again/seed{seed}", seed=seed + 20)
    write_run(tmp_path / "ohem/seed1", seed=1, recipe="ohem")
    write_run(tmp_path / "tuning/ohem/trial1", recipe="ohem")
    runs = find_runs([tmp_path])
    assert sorted(runs) == sorted(
        [*(f"{name}/seed{seed}" for name in ("focal", "focal again") for seed in (1, 10, 11)), "ohem/seed1"]
    )
    groups = {series.name: series.group for series in curves(runs).panels[1].series}
    assert {group for name, group in groups.items() if name.startswith("focal/")} == {"focal"}
    assert {group for name, group in groups.items() if name.startswith("focal again/")} == {"focal again"}
    assert groups["ohem/seed1"] == "ohem/seed1"


def test_groups_of_one_name_are_told_apart(tmp_path):
    runs = {f"run{n}": write_run(tmp_path / str(n), seed=n, lr=0.1 if n < 2 else 0.2) for n in range(4)}
    for n in range(4):  # all in one folder, so that only the options tell them apart
        assert runs[f"run{n}"].parent == tmp_path
    groups = [series.group for series in curves(runs).panels[0].series]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_runs_are_found_alone_in_a_comparison_and_in_a_loop(tmp_path):
    for name in ("one/round1", "one/round2", "other/deep/run"):
        write_run(tmp_path / name)
    write_run(tmp_path / "one/round1/folds/1_of_2")
    assert list(find_runs([tmp_path / "one"])) == ["round1", "round2"]
    assert list(find_runs([tmp_path / "other/deep/run"])) == ["deep/run"]
    assert list(find_runs([tmp_path / "one", tmp_path / "other/deep"])) == [
        "one/round1",
        "one/round2",
        "other/deep/run",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]\n", '{"loss": 1}\n', '{"epoch": "1"}\n'])
def test_rows_that_cannot_be_read_are_named(tmp_path, content):
    run = write_run(tmp_path / "run")
    (run / "metrics.jsonl").write_text(content)
    with pytest.raises(RunError, match=re.escape(str(run / "metrics.jsonl"))):
        curves({"run": run})


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(RunError, match="no runs to draw"):
        curves({})
    with pytest.raises(RunError, match="is not a run folder"):
        curves({"empty": tmp_path})
    with pytest.raises(RunError, match="holds no run with a finished epoch"):
        find_runs([tmp_path])


@pytest.mark.parametrize(("losses", "is_log"), [((1000.0, 1.0), True), ((3.0, 1.0), False), ((1000.0, 0.0), False)])
def test_a_steep_loss_has_a_logarithmic_axis(tmp_path, losses, is_log):
    figure = curves({"run": write_run(tmp_path / "run", losses, measured=())})
    assert [panel.log_y for panel in figure.panels] == [is_log, False, False]
