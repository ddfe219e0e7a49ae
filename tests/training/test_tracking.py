"""What trackers are told: TensorBoard's own files are read back; others' calls are recorded."""

import json
import logging
import math
import shutil

import pytest
from accelerate.tracking import GeneralTracker

from hardmine.errors import ConfigError, RunError
from hardmine.evaluation import Metrics
from hardmine.training import TrainingConfig, train
from hardmine.training.folder import RunFolder
from hardmine.training.tracking import Tracking, check_tracker, configuration_of, values_of
from tests.training.test_loop import assert_equal_runs, interrupt_at

METRICS = Metrics(0.5, 0.75, None, None, 0.25, None, 0.6, {"a/b\n": 0.5, "c": None})


def row(epoch, **more):
    return {"epoch": epoch, "step": 3 * epoch, "lr": 0.1, "loss": 2.0, "boxes": 1.5, "peak_memory_of": "words"} | more


class Recorded(GeneralTracker):
    """A tracker that keeps what it is told; fails where it is asked to."""

    name, requires_logging_directory, main_process_only = "mlflow", False, True

    def __init__(self, fails=()):
        super().__init__()
        self.calls, self.fails = [], fails

    tracker = None

    def start(self):
        self._call("start")

    def store_init_configuration(self, values):
        self._call("store", values)

    def log(self, values, step=None):
        self._call("log", step, values)

    def finish(self):
        self._call("finish")

    def _call(self, name, *what):
        if name in self.fails:
            raise OSError("the network\nis away")
        self.calls.append((name, *what))


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """Starts telling of a run; returns what does, and the tracker that is told."""
    monkeypatch.setattr("hardmine.training.tracking.check_tracker", lambda name: None)

    def start(rows=(), num_epochs=3, fails=(), is_main=True, track="mlflow"):
        tracker = Recorded(fails)
        monkeypatch.setitem(
            Tracking.start.__globals__["_MADE"], "mlflow", lambda folder, told: (setattr(told, "id", "x"), tracker)[1]
        )
        tracking = Tracking(RunFolder(tmp_path), TrainingConfig(track=track), is_main=is_main)
        tracking.start(rows, num_epochs)
        return tracking, tracker

    return start


def steps(tracker):
    return [call[1] for call in tracker.calls if call[0] == "log"]


def test_a_row_is_numbers_under_names_that_say_of_what():
    values = values_of(row(2) | METRICS.to_dict())
    assert values == {
        "epoch": 2,
        "train/lr": 0.1,
        "train/loss": 2.0,
        "train/boxes": 1.5,
        "val/ap": 0.5,
        "val/ap50": 0.75,
        "val/ap_medium": 0.25,
        "val/ar100": 0.6,
        "val/ap of a_b_": 0.5,
    }
    assert not any(math.isnan(value) for value in values_of(row(1, loss=math.nan)).values())


def test_the_configuration_is_plain_and_on_one_level():
    plain = configuration_of(TrainingConfig(recipe="ohem", recipe_options={"budget": 64, "nms_iou": None}))
    assert all(isinstance(value, int | float | str) for value in plain.values())
    assert (plain["recipe"], plain["recipe_options.budget"], plain["recipe_options.nms_iou"]) == ("ohem", 64, "None")


def test_rows_are_told_once_and_late_ones_too(tracked):
    tracking, tracker = tracked()
    tracking.log(row(1))
    tracking, tracker = tracked([row(1)])
    tracking.log(row(2))
    assert [call[0] for call in tracker.calls] == ["start", "log"]
    assert steps(tracker) == [6]
    _, tracker = tracked([row(1), row(2), row(3)])
    assert steps(tracker) == [9]


def test_a_tracker_that_comes_late_is_told_everything(tracked):
    _, tracker = tracked([row(1), row(2)])
    assert [call[0] for call in tracker.calls] == ["start", "store", "log", "log"]


def test_the_end_is_told_once(tracked):
    rows = [row(1), row(2), row(3)]
    tracking, tracker = tracked(rows)
    with tracking:
        tracking.finish(METRICS)
    assert tracker.calls[-2:] == [
        (
            "log",
            9,
            {
                "final/ap": 0.5,
                "final/ap50": 0.75,
                "final/ap_medium": 0.25,
                "final/ar100": 0.6,
                "final/ap of a_b_": 0.5,
            },
        ),
        ("finish",),
    ]
    tracking, tracker = tracked(rows)
    tracking.finish(METRICS)
    assert tracker.calls == []


def test_other_processes_and_runs_without_a_tracker_tell_nothing(tracked, tmp_path):
    for options in ({"is_main": False}, {"track": None}):
        tracking, tracker = tracked([row(1)], **options)
        with tracking:
            tracking.log(row(2))
            tracking.finish(METRICS)
        assert tracker.calls == []
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_cannot_be_started_is_an_error_and_one_that_fails_later_is_not(tracked, caplog):
    with pytest.raises(RunError, match="--track mlflow: it cannot be started \\(the network is away\\)"):
        tracked(fails=("start",))
    with caplog.at_level(logging.WARNING, "hardmine"):
        tracking, _ = tracked(fails=("log",))
        for epoch in (1, 2):
            tracking.log(row(epoch))
        tracking.finish(METRICS)
    assert [record.message for record in caplog.records] == [
        "--track mlflow failed (the network is away); the training goes on without it"
    ]
    assert not (tracking.folder.tracking).exists()


@pytest.mark.parametrize("content", ["", "[]", '{"mlflow": 3}', '{"mlflow": {"steps": 3}}'])
def test_damaged_notes_are_named(tracked, tmp_path, content):
    (tmp_path / "tracking.json").write_text(content)
    with pytest.raises(RunError, match=r"tracking\.json is damaged .* delete it"):
        tracked()


def test_a_missing_package_is_one_clear_error_before_anything_is_written(small, tmp_path, monkeypatch):
    monkeypatch.setattr("hardmine.training.tracking.find_spec", lambda name: None)
    for name in ("tensorboard", "wandb", "mlflow"):
        with pytest.raises(ConfigError, match=f"which is not installed: pip install {name}"):
            train(small(track=name), tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []
    check_tracker(None)


def test_a_folder_called_like_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("hardmine.training.tracking.find_spec", lambda name: type("Spec", (), {"origin": None}))
    with pytest.raises(ConfigError, match="pip install wandb"):
        check_tracker("wandb")


def test_another_tracker_is_refused():
    with pytest.raises(ConfigError, match="track must be one of tensorboard, wandb, mlflow, got 'tensorbord'"):
        TrainingConfig(track="tensorbord")


def curves_of(folder):
    """Tag -> {step: value}, of TensorBoard's files."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    events = reader.EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert all(len(dict(points)) == len(points) for points in found.values()), "a step twice"
    return {tag: dict(points) for tag, points in found.items()}


def expected_curves(result):
    told = {}
    for one in result.rows:
        for tag, value in values_of(one).items():
            told.setdefault(tag, {})[one["step"]] = pytest.approx(value, rel=1e-6)
    return told


@pytest.fixture(scope="module")
def plain(small, tmp_path_factory):
    return train(small(eval_every=1), tmp_path_factory.mktemp("plain") / "run", progress=False)


@pytest.fixture
def tensorboard():
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")


def test_tensorboard_is_told_what_the_rows_say_and_the_training_is_the_same(tensorboard, plain, small, tmp_path):
    told = train(small(eval_every=1, track="tensorboard"), tmp_path / "run", progress=False)
    assert_equal_runs(told.folder, plain.folder)
    curves = curves_of(tmp_path / "run")
    final = {tag: curves.pop(tag) for tag in list(curves) if tag.startswith("final/")}
    assert curves == expected_curves(told)
    assert final["final/ap"] == {6: pytest.approx(told.metrics.ap, rel=1e-6)}
    (hparams,) = (tmp_path / "run/tensorboard").glob("*/hparams.yml")
    assert "recipe: random" in hparams.read_text()
    assert json.loads((tmp_path / "run/tracking.json").read_text())["tensorboard"]["step"] == 6


def test_a_run_that_goes_on_continues_its_curve(tensorboard, plain, small, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 12 + 6, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            train(small(eval_every=1, track="tensorboard"), tmp_path / "run", progress=False)
    assert curves_of(tmp_path / "run")["train/loss"].keys() == {3}
    told = train(small(eval_every=1, track="tensorboard"), tmp_path / "run", resume=True, progress=False)
    assert_equal_runs(told.folder, plain.folder)
    assert curves_of(tmp_path / "run")["train/loss"] == expected_curves(told)["train/loss"]
    assert len(list((tmp_path / "run/tensorboard").glob("*/hparams.yml"))) == 1


def test_a_run_may_go_on_with_a_tracker_or_without(tensorboard, plain, small, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(plain.folder.path, folder)
    told = train(small(eval_every=1, track="tensorboard"), folder, resume=True, progress=False)
    assert curves_of(folder)["val/ap"] == expected_curves(told)["val/ap"]
    before = sorted(folder.rglob("*"))
    for track in ("tensorboard", None):
        train(small(eval_every=1, track=track), folder, resume=True, progress=False)
    assert sorted(folder.rglob("*")) == before
