import pytest

from hardmine.errors import RunError
from hardmine.report.curves import learning_panels, rows_of, runs_of
from tests.report.conftest import lines


def test_the_loss_its_parts_and_ap_are_drawn_and_nothing_else(run):
    panels = learning_panels({"a": [rows_of(run)]})
    assert [panel.title for panel in panels] == ["AP", "Loss, all parts", "loss classifier"]
    assert panels[0].series[0].x == [3]
    assert panels[1].series[0].y == [line["loss"] for line in lines(0)]


def test_there_is_a_line_a_run_under_the_name_of_its_recipe():
    panels = learning_panels({"a": [lines(0), lines(1)], "b": [lines(2)]})
    assert [series.name for series in panels[1].series] == ["a", "a", "b"]


def test_runs_of_a_comparison_lie_by_recipe_and_seed(tmp_path):
    rows = [{"recipe": "ohem again", "seeds": [3, 4]}]
    assert runs_of(tmp_path, rows) == {"ohem again": [tmp_path / "ohem again/seed3", tmp_path / "ohem again/seed4"]}


def test_no_epoch_is_no_line(tmp_path):
    assert rows_of(tmp_path) == []
    assert learning_panels({"a": [[]]}) == []
    assert learning_panels({"a": [[{"epoch": 1, "loss": None}]]}) == []


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{")
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        rows_of(tmp_path)
