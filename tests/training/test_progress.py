import io
import logging

import pytest
from rich.console import Console
from torch.utils.data import DataLoader

from hardmine.training import progress
from hardmine.training.progress import Reporter, watch_work

ROW = {"epoch": 3, "loss": 0.25, "images_per_second": 12.0, "ap": 0.5}


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 100 columns that remembers what was written to it."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    return stream


def run(reporter):
    batches = DataLoader([1, 2, 3, 4], batch_size=2)
    with reporter:
        seen = [len(batch) for batch in reporter.steps(batches, 3)]
        reporter.show_step(0.25, 12.0)
        seen += [len(batch) for batch in reporter.evaluating(batches)]
        reporter.epoch_done(ROW)
        reporter.show_step(0.125, 12.0)
    return seen


def test_without_a_terminal_an_epoch_is_one_log_line(caplog):
    caplog.set_level(logging.INFO, logger="hardmine")
    assert run(Reporter(4, 3, enabled=True, is_main=True)) == [2, 2, 2, 2]
    assert caplog.messages == ["epoch 3/4  loss 0.2500  AP 0.500  12.0 images/s"]


def test_other_processes_say_nothing(caplog, terminal):
    caplog.set_level(logging.INFO, logger="hardmine")
    assert run(Reporter(4, 3, enabled=True, is_main=False)) == [2, 2, 2, 2]
    assert caplog.messages == []
    assert terminal.getvalue() == ""


def test_a_terminal_shows_loss_ap_speed_and_progress(terminal, caplog):
    caplog.set_level(logging.INFO, logger="hardmine")
    assert run(Reporter(4, 3, enabled=True, is_main=True)) == [2, 2, 2, 2]
    shown = terminal.getvalue()
    assert "epoch 3/4" in shown
    assert "2/4" in shown  # steps: two of the four in epochs 3 and 4
    assert "loss 0.125" in shown
    assert "AP 0.500" in shown
    assert "12.0 images/s" in shown
    assert caplog.messages == []


def test_bars_can_be_refused(terminal, caplog):
    caplog.set_level(logging.INFO, logger="hardmine")
    assert not Reporter(4, 1, enabled=False, is_main=True).has_bars
    run(Reporter(4, 3, enabled=False, is_main=True))
    assert len(caplog.messages) == 1


def test_an_undefined_ap_is_not_shown(caplog):
    caplog.set_level(logging.INFO, logger="hardmine")
    with Reporter(4, 3, enabled=True, is_main=True) as reporter:
        reporter.epoch_done(ROW | {"ap": None})
    assert "AP" not in caplog.text


def test_a_long_work_has_a_bar_on_a_terminal(terminal):
    assert list(watch_work("abc", 3, "searching")) == ["a", "b", "c"]
    assert "searching" in terminal.getvalue()


def test_a_long_work_has_a_log_line_each_tenth_elsewhere(caplog):
    with caplog.at_level(logging.INFO, "hardmine"):
        assert len(list(watch_work(range(25), 25, "searching"))) == 25
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == "searching: 3 of 25 images"
    assert caplog.messages[-1] == "searching: 25 of 25 images"


def test_names_steer_no_terminal_and_are_no_markup(monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert list(watch_work(range(2), 2, "[red]a\x1b[2Jb")) == [0, 1]
    with Reporter(2, 1, enabled=True, is_main=True) as reporter:
        reporter.say("x [bold]y\x1b[2Jz")
    shown = capsys.readouterr().err
    assert "[red]a\\x1b[2Jb" in shown
    assert "x [bold]y\\x1b[2Jz" in shown
    assert "\x1b[2J" not in shown
