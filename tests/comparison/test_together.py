"""Trainings in processes of their own: the same results, one clear error, and no process that outlives the others."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Thread

import psutil
import pytest
import torch

from hardmine.comparison.together import Job, suitable_processes, train_together
from hardmine.errors import ConfigError, RunError
from hardmine.training import train

PATIENCE_S = 120


@pytest.fixture
def jobs(small, tmp_path) -> list[Job]:
    names = ("first 100%", "second", "third")
    return [
        Job(number, name, small(seed=number, epochs=1), tmp_path / name) for number, name in enumerate(names, start=1)
    ]


def test_runs_are_those_of_one_process_in_the_order_of_the_jobs(jobs, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "hardmine"):
        together = train_together(jobs, 2, resume=False)
    for job, result in zip(jobs, together, strict=True):
        alone = train(job.config, tmp_path / f"alone {job.number}", progress=False)
        assert (result.folder.path, result.metrics) == (job.folder, alone.metrics)
        assert result.folder.weights.read_bytes() == alone.folder.weights.read_bytes()
        assert f"{job.name}: run {job.number} of 3" in caplog.messages
        assert any(line.startswith(f"{job.name}: epoch 1/1  loss ") for line in caplog.messages)
    again = train_together(jobs, 2, resume=True)
    assert again == together


def test_the_error_of_one_ends_all(jobs):
    jobs[1].folder.mkdir()
    (jobs[1].folder / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"second exists already"):
        train_together(jobs, 2, resume=False)
    assert not multiprocessing.active_children()


def test_a_process_that_is_ended_from_outside_is_an_error_with_a_remedy(jobs):
    def end_one() -> None:
        wait_until(jobs[0].folder.exists)
        multiprocessing.active_children()[0].kill()

    Thread(target=end_one, daemon=True).start()
    with pytest.raises(RunError, match=r"ended from outside.*--resume and --jobs 1"):
        train_together(jobs, 2, resume=False)
    assert not multiprocessing.active_children()


@pytest.fixture
def started_by_a_user() -> Iterator[Callable[[list[str]], subprocess.Popen]]:
    """Starts a command in a session of its own, which ends with the test; it hears Ctrl-C even if pytest does not."""
    groups = []

    def start(command: list[str]) -> subprocess.Popen:
        started = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (one call, no lock)
        )
        groups.append(started.pid)
        return started

    yield start
    for group in filter(is_there, groups):
        os.killpg(group, signal.SIGKILL)


@pytest.mark.parametrize(
    ("sent", "when"),
    [(signal.SIGINT, "starting"), (signal.SIGINT, "training"), (signal.SIGKILL, "training")],
)
def test_the_processes_end_with_the_one_that_started_them(started_by_a_user, small_data, tmp_path, sent, when):
    options = ("--data", str(small_data), "--image-size", "64", "--epochs", "1000", "--out", str(tmp_path / "out"))
    command = [sys.executable, "-m", "hardmine", "compare", *options, "--jobs", "2"]
    started = started_by_a_user(command)
    if when == "starting":
        wait_until(lambda: len(psutil.Process(started.pid).children()) == 3)  # one keeps books of what they share
        time.sleep(0.5)  # they import for seconds
    else:
        wait_until(lambda: len(list(tmp_path.glob("out/*/seed0/metrics.jsonl"))) == 2)
    os.kill(started.pid, sent) if sent is signal.SIGKILL else os.killpg(started.pid, sent)
    _, said = started.communicate(timeout=PATIENCE_S)  # which waits for all that could still write there
    wait_until(lambda: not is_there(started.pid))
    assert "Traceback" not in said
    if sent is signal.SIGINT:
        assert started.returncode == 130
        assert said.endswith("stopped; continue with the same command and --resume\n")


def wait_until(is_so) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def is_there(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_only_small_detectors_on_a_cpu_are_trained_together_unasked(small, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert [suitable_processes(small(backbone="tiny"), num) for num in (1, 2, 9)] == [1, 2, 3]
    assert suitable_processes(small(backbone="resnet18"), 9) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert suitable_processes(small(backbone="micro"), 9) == 4
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert suitable_processes(small(backbone="tiny"), 9) == 1


def test_one_of_several_processes_starts_no_others(jobs, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="leave --jobs out"):
        train_together(jobs, 2, resume=False)
    assert not any(job.folder.exists() for job in jobs)
