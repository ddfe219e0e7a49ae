import json
from dataclasses import replace

from hardmine.cli.comparison_tables import several_tables
from hardmine.comparison import Comparison, Protocol
from hardmine.comparison.advice import Advice
from hardmine.comparison.search import Trial
from hardmine.comparison.several import SeveralComparisons
from hardmine.comparison.tuning import Tuned, TunedTrial
from hardmine.evaluation import AcrossDataSets, Estimate, LookAlikeErrors
from hardmine.training import TrainingConfig
from tests.cli.test_app import SMALL, one_line
from tests.comparison.made import comparison, measured, other, row


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
    assert lines[ohem + 1].strip().startswith("all    [")
    assert lines[ohem + 2].strip() == "better"
    assert any(line.strip() == "no difference seen" for line in lines)
    assert max(map(len, lines[: ohem + 4])) <= 80


def width(lines: list[str]) -> int:
    """Of tables, which stand between empty lines; sentences are whole in a file."""
    tables = [block for block in "\n".join(lines).split("\n\n") if "──" in block]
    assert tables
    return max(len(line) for block in tables for line in block.splitlines())


def lines_of(hardmine, monkeypatch, made) -> list[str]:
    monkeypatch.setattr("hardmine.comparison.compare.compare", lambda *_, **__: made)
    return hardmine("compare").out.splitlines()


def test_all_that_was_asked_for_is_printed_within_80_columns(hardmine, monkeypatch):
    trial = Trial(3, 0.00123, 1.59, {"gamma": 2.0, "alpha": 0.25})
    defaults = TunedTrial(Trial(1, 0.001, 1.0), 6, 0.4)
    tuned = {"focal": Tuned("focal", (defaults, TunedTrial(trial, 6, 0.4321)))}
    rows = row(), *(other(0.1 * place, f"recipe-option={place}") for place in range(1, 6))
    made = comparison(
        *rows,
        tuned=tuned,
        protocol=Protocol(test_split="test"),
        at_equal_time=tuple(replace(of, epochs=place) for place, of in enumerate(rows, start=5)),
        on_test=rows,
    )
    lines = lines_of(hardmine, monkeypatch, made)
    assert width(lines) <= 80
    text = "\n".join(lines)
    for expected in (
        "0.0012",
        "1.6",
        "gamma=2",
        "0.432",
        "+0.032",
        "* the interval",
        "for as long as random",
        "On test:",
        "epochs",
        "+0.500*",
    ):
        assert expected in text, expected


def test_one_seed_has_no_table_of_differences(hardmine, monkeypatch):
    one = comparison(row(ap=measured(0.1)), row("ohem", measured(0.9, baseline=(0.1,))))
    assert not any("difference" in line and "to" in line.split() for line in lines_of(hardmine, monkeypatch, one)[:1])
    assert not any("*" in line for line in lines_of(hardmine, monkeypatch, one))


def test_several_data_sets_are_compared_each_and_all(hardmine, monkeypatch, tmp_path):
    seen = []
    across = AcrossDataSets(Estimate(0.01, -0.02, 0.04), Estimate(0.02, 0.0, 0.04), Estimate(0.75, 0.5, 1.0))

    def fake(configs, recipes, **how):
        seen.append([config.data for config in configs])
        return SeveralComparisons({"first": three_recipes(), "second": three_recipes()}, {"ohem": across})

    monkeypatch.setattr("hardmine.comparison.several.compare_on_several", fake)
    lines = hardmine("compare", "--data", "here/first", "--data", "there/second").out.splitlines()
    assert seen == [["here/first", "there/second"]]
    assert [line for line in lines if line.startswith("On ")] == ["On first:", "On second:"]
    (row,) = (line for line in lines if "+0.010 [-0.020, +0.040]" in line)
    assert "75% [50%, 100%]" in row
    assert width(lines) <= 80


def test_recipes_that_are_advised_come_with_reasons_and_one_answer(hardmine, monkeypatch):
    advice = [Advice("ohem", "26 % of the errors are predictions on background")]
    monkeypatch.setattr("hardmine.comparison.auto.compare_advised", lambda *_, **__: (advice, three_recipes()))
    lines = hardmine("compare", "--recipes", "auto").out.splitlines()
    assert lines[0] == "ohem: 26 % of the errors are predictions on background"
    assert lines[-3].startswith("Recommended: use ohem: +20.0 AP [")
    assert lines[-1] == "A page of it: hardmine report runs/compare --out report.html"
    refused = hardmine("compare", "--recipes", "auto", "--data", "a", "--data", "b")
    assert "one data set at a time" in one_line(refused.err)


def test_advised_recipes_are_trained_by_as_many_processes_as_named_ones(hardmine, monkeypatch):
    seen = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)

    def fake(config, *, protocol, resume, seeds, out, jobs):
        seen.append(jobs)
        return [], three_recipes()

    monkeypatch.setattr("hardmine.comparison.auto.compare_advised", fake)
    assert hardmine("compare", "--recipes", "auto", "--seeds", "1").code == 0
    assert seen == [4]


def test_over_data_sets_one_seed_gives_no_verdict():
    one, two = (comparison(row(ap=measured(*of)), replace(other(0.1), seeds=(0,))) for of in ((0.4,), (0.4, 0.4)))
    for made, is_one in ((one, True), (two, False)):
        *_, note = several_tables(SeveralComparisons({"a": made}, {}))
        assert ("there is no verdict" in note) == is_one
