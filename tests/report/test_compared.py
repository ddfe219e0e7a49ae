import json
from pathlib import Path

import pytest

from hardmine.comparison import Comparison
from hardmine.errors import DataError
from hardmine.report.compared import read_across, read_compared, read_rounds
from tests.report.conftest import HOSTILE, comparison


def as_read(of: Comparison, folder) -> dict:
    return json.loads(json.dumps(of.to_dict()))


def test_the_forest_has_the_intervals_of_the_file(tmp_path):
    facts = as_read(comparison(), tmp_path)
    (table,) = read_compared(tmp_path, facts).tables
    assert table.baseline == "random"
    assert [row.name for row in table.forest.rows] == ["ohem", "hnm", HOSTILE]
    for row, of in zip(table.forest.rows, facts["recipes"][1:], strict=True):
        ap = of["measures"]["ap"]["difference"]
        assert (row.value, row.low, row.high) == (ap["value"], ap["low"], ap["high"])
        assert (row.all_low, row.all_high) == (ap["simultaneous_low"], ap["simultaneous_high"])
        assert row.verdict == of["verdict"]


def test_measures_are_in_groups_and_none_is_lost(tmp_path):
    facts = as_read(comparison(), tmp_path)
    groups = read_compared(tmp_path, facts).measures
    shown = sum(len(group.rows) for group in groups)
    assert shown == len(facts["recipes"][0]["measures"]) - len(("ap", "ap50", "ap75"))
    assert all(len(cells) == 4 for group in groups for _, cells in group.rows)


def test_one_seed_has_no_verdict(tmp_path):
    (table,) = read_compared(tmp_path, as_read(comparison(num_seeds=1), tmp_path)).tables
    assert {row.verdict for row in table.forest.rows} == {"one seed: no verdict"}


def test_advice_is_read_where_there_is_some(tmp_path):
    facts = as_read(comparison(), tmp_path)
    assert read_compared(tmp_path, facts).advice == []
    (tmp_path / "advice.json").write_text(json.dumps({"advice": [{"recipe": "ohem", "reason": "hard", "rule": "r"}]}))
    assert read_compared(tmp_path, facts).advice == [("ohem", "hard")]


def test_a_lone_recipe_has_no_forest(tmp_path):
    (table,) = read_compared(tmp_path, as_read(comparison(recipes=("random",)), tmp_path)).tables
    assert table.forest is None


def test_what_is_lacking_is_named(tmp_path):
    facts = as_read(comparison(), tmp_path)
    del facts["recipes"][1]["measures"]["ap"]
    with pytest.raises(DataError, match=r"compare\.json lacks or mistakes 'ap'"):
        read_compared(tmp_path, facts)
    with pytest.raises(DataError, match="lacks or mistakes"):
        read_compared(tmp_path, facts | {"recipes": []})


def test_several_data_sets(tmp_path):
    estimate = {"value": 0.02, "low": -0.01, "high": 0.05}
    of = dict.fromkeys(("mean_difference", "middle_mean", "probability_of_improvement"), estimate)
    facts = {
        "across": {"ohem": of},
        "on": {"a": as_read(comparison(), tmp_path), "b": as_read(comparison(1), tmp_path)},
    }
    across, compared = read_across(tmp_path, facts)
    assert [one.name for one in compared] == ["a", "b"]
    assert (across.forest.rows[0].low, across.forest.rows[0].value) == (-0.01, 0.02)
    assert not across.has_verdicts
    with pytest.raises(DataError, match="lacks or mistakes"):
        read_across(tmp_path, {"across": {"ohem": {}}, "on": {}})


def test_rounds(tmp_path):
    rounds = [{"number": 1, "metrics": {"ap": 0.1, "ap50": 0.2}, "difference": None}]
    assert read_rounds(tmp_path, {"rounds": rounds})[0]["ap"] == 0.1
    with pytest.raises(DataError, match=r"rounds\.json"):
        read_rounds(tmp_path, {"rounds": [{}]})


def test_masks_are_compared_by_miou():
    def measure(value):
        return {"mean": value, "values": [value], "difference": None, "lower_is_better": False}

    names = ("miou", "accuracy", "mean_accuracy", "boundary_iou", "iou of road", "boundary iou of road")
    row = {"recipe": "ce", "measures": {name: measure(0.5) for name in names}, "verdict": "", "epochs": 1}
    facts = {
        "recipes": [row], "protocol": {}, "config": {"data": "d", "val_split": "val", "fold": None}, "notes": [],
        "at_equal_time": [], "on_test": [], "seeds": [0], "num_images": 3, "environment": {}, "tuned": {},
    }  # fmt: skip
    found = read_compared(Path("nowhere"), facts)
    table = found.tables[0]
    assert (table.main, table.called) == ("miou", "mIoU")
    assert list(table.columns) == ["miou", "accuracy", "boundary_iou"]
    groups = {group.title: [name for name, _ in group.rows] for group in found.measures}
    assert groups == {
        "Accuracy": ["mean accuracy of classes"], "IoU by class": ["road"], "Boundary IoU by class": ["road"],
    }  # fmt: skip
