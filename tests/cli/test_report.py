import json
import shlex
from pathlib import Path

from hardmine.cli.report import page_of
from tests.report.conftest import found_on, make_data, make_mined, make_run


def test_a_page_is_made_and_named(hardmine, tmp_path):
    run, out = make_run(tmp_path / "run"), tmp_path / "report.html"
    outcome = hardmine("report", str(run), "--out", str(out))
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == f"Report: {out}"
    assert "<h2>Runs</h2>" in out.read_text()


def test_how_many_examples_there_are_is_chosen(hardmine, tmp_path):
    mined, out = make_mined(tmp_path), tmp_path / "report.html"
    assert hardmine("report", str(mined), "--out", str(out), "--most", "1").code == 0
    assert "Left out" in out.read_text()


def test_what_cannot_be_used_is_one_line(hardmine, tmp_path):
    outcome = hardmine("report", str(tmp_path), "--out", str(tmp_path / "report.html"))
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "nothing to report on" in outcome.err


def test_what_is_said_of_a_page_makes_it(hardmine, tmp_path, monkeypatch):
    run = make_run(tmp_path / "a run")
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(page_of(run).removeprefix("A page of it: "))
    assert program == "hardmine"
    assert hardmine(*arguments).code == 0
    assert Path("report.html").is_file()


def test_mining_says_how_to_look_at_it(hardmine, tmp_path):
    data, predictions = make_data(tmp_path / "data"), tmp_path / "found.json"
    predictions.write_text(json.dumps([of for number in range(4) for of in found_on(2**60 + number)]))
    mined = tmp_path / "mined"
    outcome = hardmine("mine", "--data", str(data), "--predictions", str(predictions), "--out", str(mined))
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, page_of(mined))
