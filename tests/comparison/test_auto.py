import json
from dataclasses import replace

import pytest

from hardmine.comparison import Protocol
from hardmine.comparison.auto import compare_advised, recommend
from hardmine.comparison.tuning import TUNING_SEED
from hardmine.errors import ConfigError, HardmineError, RunError
from tests.comparison.made import comparison, measured, other, row


def test_the_best_of_those_that_are_better_is_recommended_with_gain_and_cost():
    made = comparison(row(), other(0.2), replace(other(0.3, "hnm"), step_time_ratio=1.21), other(0.001, "focal"))
    said = recommend(made)
    of = made.rows[2].difference
    assert said.recipe == "hnm"
    interval = f"[{100 * of.simultaneous_low:+.1f}, {100 * of.simultaneous_high:+.1f}]"
    assert f"use hnm: {100 * of.value:+.1f} AP {interval}" in said.text
    assert "21 % more time" in said.text


def test_nothing_is_recommended_that_is_not_better_beyond_doubt():
    said = recommend(comparison(row(), other(0.001), other(-0.2, "hnm")))
    assert said.recipe == "random"
    assert "stay with random" in said.text
    assert "the highest, ohem, has +0.1 AP" in said.text


def test_seeds_that_would_show_what_was_seen_are_named():
    unsure = row("ohem", measured(0.41, 0.5, 0.47, baseline=(0.4, 0.41, 0.42)))
    said = recommend(comparison(row(), unsure))
    needed = unsure.difference.seeds_for(unsure.difference.value)
    assert (unsure.verdict, said.recipe) == ("no difference seen", "random")
    assert needed > 3
    assert said.text.endswith(f"the same command with --seeds {needed} --resume")


def test_a_diagnosis_leads_to_three_recipes_tuned_and_compared(small, tmp_path, monkeypatch):
    config = small(epochs=1, lr=0.01)
    out = tmp_path / "out"
    options = {"protocol": Protocol(tune=2), "progress": False}
    advice, compared = compare_advised(config, [0], out, **options)
    assert [of.recipe for of in compared.rows] == ["random", *(of.recipe for of in advice)]
    assert len({of.recipe for of in advice}) == 3
    assert all(of.reason for of in advice)
    assert set(compared.tuned) == {of.recipe for of in compared.rows}
    stored = json.loads((out / "advice.json").read_text())
    assert [of["reason"] for of in stored["advice"]] == [of.reason for of in advice]
    diagnosed = json.loads((out / "diagnosed/config.json").read_text())
    assert (diagnosed["recipe"], diagnosed["seed"], diagnosed["fold"]) == ("random", TUNING_SEED, "1/4")
    with pytest.raises(RunError, match="exists already"):
        compare_advised(config, [0], out, **options)
    monkeypatch.setattr("hardmine.comparison.auto.diagnose", None)  # what was once advised stays
    assert compare_advised(config, [0], out, resume=True, **options) == (advice, compared)


def test_a_fold_of_ones_own_is_refused(small, tmp_path):
    with pytest.raises(ConfigError, match="leave fold 1/3 out"):
        compare_advised(small(fold="1/3"), [0], tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "protocol", "message"),
    [
        ({}, Protocol(test_split="nope"), "no split 'nope'"),
        ({"group_by": "folder"}, Protocol(), "one group of images"),
        ({"detector": "yolo"}, Protocol(), "unknown detector 'yolo'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_diagnosis(small, tmp_path, changes, protocol, message):
    with pytest.raises(HardmineError, match=message):
        compare_advised(small(**changes), [0], tmp_path / "out", protocol=protocol)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"advice": [{"recipe": "ohem"}]}', '{"advice": 3}'])
def test_damaged_advice_is_told_with_what_to_do(small, tmp_path, content):
    (tmp_path / "advice.json").write_text(content)
    with pytest.raises(RunError, match=r"advice.json is damaged.*delete it"):
        compare_advised(small(), [0], tmp_path, resume=True)


def test_one_seed_recommends_nothing_and_says_why():
    one = replace(other(0.3), measures={"ap": measured(0.7, baseline=(0.4,))})
    said = recommend(comparison(row(ap=measured(0.4)), one))
    assert (said.recipe, "one seed shows of none that it is better" in said.text) == ("random", True)
