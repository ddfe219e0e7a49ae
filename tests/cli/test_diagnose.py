"""`hardmine diagnose`: a run, a detector without one, and what it refuses."""

import json
import re

import polars as pl
import pytest

from hardmine.diagnosis.inspection import Inspection
from tests.diagnosis.test_sentences import tables
from tests.seen_runs import few, run_of

__all__ = ["few", "run_of"]

SMALL = ("--image-size", "64", "--images-shown", "4")


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_run_is_diagnosed_in_tables_and_sentences_and_files(hardmine, run_of, few, tmp_path):
    out = tmp_path / "found"
    done = hardmine("diagnose", str(run_of("retinanet")), "--out", str(out))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(len(line) for line in lines if str(out) not in line and not line.startswith("- ")) <= 80
    assert lines[-1] == f"A page of it: hardmine report {out} --out report.html"
    stored = json.loads((out / "diagnosis.json").read_text())
    for sentence in stored["sentences"]:
        assert one_line(sentence["text"]) in one_line(done.out)
    assert list(stored["recipes"]) == ["random", "ce"]
    assert stored["held_back"]["detector"] == "retinanet"
    assert pl.read_parquet(out / "tables.parquet").height == pl.read_csv(out / "tables.csv").height


def test_a_detector_without_a_run_is_diagnosed(hardmine, few_scenes, tmp_path):
    out = tmp_path / "found"
    recipes = "random,hnm:ratio=2.0,min_negatives=1"
    done = hardmine("diagnose", "--detector", "fasterrcnn", "--recipes", recipes, *SMALL, "--out", str(out))
    assert done.code == 0, done.err
    assert "fasterrcnn, head roi, 4 images of scenes (train)" in done.out
    stored = json.loads((out / "diagnosis.json").read_text())
    assert list(stored["recipes"]) == ["random", "hnm-ratio=2.0-min_negatives=1"]
    assert set(stored["recipes"]["random"]["heads"]) == {"rpn", "roi"}
    assert stored["run"] is stored["held_back"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "{new}"], "give the folder of a finished run, or --detector"),
        (["{missing}", "--out", "{new}"], "{missing} is not a run folder"),
        (["{missing}", "--image-size", "64", "--out", "{new}"], "leave --image-size out, or the run"),
        (["{missing}", "--out", "{full}"], "{full} exists already"),
        (["--detector", "retinanet", "--recipes", "ohme", "--out", "{new}"], "did you mean ohem"),
        (["--detector", "retinanett", "--out", "{new}"], "did you mean retinanet"),
        (["--detector", "fasterrcnn", "--recipes", "qfl", "--image-size", "64", "--out", "{new}"], "softmax"),
        (["--detector", "retinanet", "--images-shown", "0", "--out", "{new}"], "images-shown"),
    ],
)
def test_wrong_input_is_one_clear_line_and_code_2(hardmine, few_scenes, tmp_path, arguments, message):
    places = {name: str(tmp_path / name) for name in ("new", "missing", "full")}
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    done = hardmine("diagnose", *(argument.format(**places) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    assert message.format(**places) in one_line(done.err)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "notes.txt"]


def test_several_processes_are_refused(hardmine, tmp_path, monkeypatch):
    monkeypatch.setattr("hardmine.cli.diagnose.num_started", lambda: 2)
    done = hardmine("diagnose", "--detector", "retinanet", "--out", str(tmp_path / "new"))
    assert done.code == 2
    assert "one process" in done.err


def test_many_recipes_and_classes_still_fit_80_columns(capsys, monkeypatch):
    from hardmine.cli.diagnosis_tables import MOST_CLASSES, shares_table
    from hardmine.cli.showing import show_all

    monkeypatch.setenv("COLUMNS", "80")
    found = tables()
    classes = [
        row | {"bin": f"a class with a long name {place}"} for place, row in enumerate(found.tables["class"] * 5)
    ]
    found.tables["class"][:] = classes
    recipes = {f"recipe-option={place}": {"dense": found} for place in range(5)}
    show_all(shares_table(Inspection.of("retinanet", recipes, data="d", split="s", num_images=3)))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert len(set(re.findall(r"a class with a long name \d+", shown))) == MOST_CLASSES + 1
