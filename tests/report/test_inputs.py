import json

import pytest

from hardmine.errors import DataError
from hardmine.report.inputs import read_facts, recognise


def kinds(path):
    return [given.kind for given in recognise(path)]


def test_each_folder_is_recognised(compared, run, mined, diagnosed):
    folder = compared()
    assert kinds(folder) == kinds(folder / "compare.json") == ["comparison"]
    assert kinds(run) == ["run"]
    assert kinds(mined) == ["mined"]
    assert kinds(diagnosed) == kinds(diagnosed / "diagnosis.json") == ["diagnosis"]


def test_a_run_may_hold_its_diagnosis(run, diagnosed):
    (diagnosed / "diagnosis.json").rename(run / "diagnosis.json")
    assert kinds(run) == ["run", "diagnosis"]


def test_a_loop_is_its_rounds_its_runs_and_what_was_mined_last(run, mined, tmp_path):
    loop = tmp_path / "loop"
    loop.mkdir()
    (loop / "rounds.json").write_text(json.dumps({"config": {}, "rounds": [{}, {}]}))
    run.rename(loop / "round1")
    mined.rename(loop / "mined1")
    assert kinds(loop) == ["rounds", "run", "mined"]


def test_several_data_sets_are_told_from_one(tmp_path):
    (tmp_path / "compare.json").write_text(json.dumps({"on": {}, "across": {}}))
    assert kinds(tmp_path) == ["comparisons"]


def test_what_is_nothing_of_ours_is_refused(tmp_path):
    with pytest.raises(DataError, match="nothing to report on; expected the folder of a run"):
        recognise(tmp_path)
    with pytest.raises(DataError, match="there is no "):
        recognise(tmp_path / "no")
    (tmp_path / "some.json").write_text("{}")
    with pytest.raises(DataError, match="none of hardmine's results"):
        recognise(tmp_path / "some.json")


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json is no JSON"):
        read_facts(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="expected a JSON object, got list"):
        read_facts(tmp_path / "a.json")
