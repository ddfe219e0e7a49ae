import json
from dataclasses import replace

from hardmine.comparison import Comparison, Protocol
from hardmine.evaluation import LookAlikeErrors
from hardmine.training import TrainingConfig
from tests.cli.test_app import SMALL, one_line
from tests.comparison.made import comparison, other, row


def test_compare_trains_and_ends_in_a_table(hardmine, few_scenes, tmp_path):
    recipes = ("--recipes", "random,ohem:budget=16", "--seeds", "1", "--jobs", "1")
    command = ("compare", *recipes, "--out", str(tmp_path / "out"), *SMALL)
    done = hardmine(*command)
    assert done.code == 0
    for expected in ("random", "ohem-budget=16", "AP50", "look-alikes", "1.00x", "one seed", "compare.csv"):
        assert expected in done.out, expected
    stored = json.loads((tmp_path / "out/compare.json").read_text())
    assert (stored["seeds"], stored["recipes"][1]["verdict"]) == ([0], "one seed: no verdict")
    refused = hardmine(*command)
    assert (refused.code, refused.out) == (2, "")
    assert "exists already" in one_line(refused.err)
    assert hardmine(*command, "--resume").code == 0


def test_options_reach_the_training(hardmine, monkeypatch, tmp_path):
    seen = []

    def fake(config, recipes, seeds, out, *, protocol, resume, jobs):
        seen.append((config, [recipe.label for recipe in recipes], list(seeds), out, protocol, resume, jobs))
        return three_recipes()

    monkeypatch.setattr("hardmine.comparison.compare.compare", fake)
    asked = ("--recipes", "random,hnm", "--seeds", "2", "--jobs", "5", "--lr", "0.01")
    asked += ("--tune", "6", "--margin", "0.005", "--test-split", "test", "--match", "time")
    hardmine("compare", *asked, "--out", str(tmp_path), "--resume")
    protocol = Protocol(margin=0.005, test_split="test", match_time=True, tune=6)
    assert seen == [(TrainingConfig(lr=0.01), ["random", "hnm"], [0, 1], tmp_path, protocol, True, 5)]


def test_without_options_there_are_three_recipes_and_seeds_and_a_process_a_thread(hardmine, monkeypatch):
    seen = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr(
        "hardmine.comparison.compare.compare",
        lambda config, recipes, seeds, out, *, protocol, resume, jobs: (
            seen.append((len(recipes), len(seeds), jobs)) or three_recipes()
        ),
    )
    assert hardmine("compare").code == 0
    assert seen == [(3, 3, 2)]


def three_recipes() -> Comparison:
    rows = row(), other(0.2), other(0.001, "hnm")
    return comparison(*(replace(of, look_alikes=LookAlikeErrors(40, 0.125, 0.9, None)) for of in rows))


def test_the_table_shows_interval_verdict_and_ratios(hardmine, monkeypatch):
    monkeypatch.setattr("hardmine.comparison.compare.compare", lambda *_, **__: three_recipes())
    lines = hardmine("compare").out.splitlines()
    (ohem,) = (i for i, line in enumerate(lines) if line.split()[:1] == ["ohem"])
    better = other(0.2).difference
    assert f"{better.value:+.3f} [{better.low:+.3f}, {better.high:+.3f}]" in lines[ohem]
    assert all(cell in lines[ohem] for cell in ("0.605", "1.00x", "100", "12%, 0.90"))
    assert lines[ohem + 1].strip().startswith("at once [")
    assert lines[ohem + 2].strip() == "better"
    assert any(line.strip() == "no difference seen" for line in lines)
    assert max(map(len, lines[: ohem + 4])) <= 80
