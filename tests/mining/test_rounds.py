"""Rounds of training and mining: what each stands on, what is kept, and what is said of them."""

import json
from dataclasses import replace

import polars as pl
import pytest

from hardmine.errors import ConfigError, RunError
from hardmine.mining import mine_in_rounds, mine_run
from hardmine.training import RunFolder, TrainingConfig, train
from hardmine.training.trainer import Trainer


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 6, "val": 4})
    return TrainingConfig(detector="retinanet", image_size=64, epochs=1, batch_size=4)


def test_each_round_stands_on_what_the_one_before_found(config, tmp_path):
    table = mine_in_rounds(config, 2, tmp_path, folds=2, progress=False)
    first, second = (RunFolder(tmp_path / f"round{number}").read_config() for number in (1, 2))
    assert (first.mined, first.suspects) == (None, "keep")
    assert (second.mined, second.suspects) == (str(tmp_path / "mined1"), "down")
    assert RunFolder(tmp_path / "round1/folds/2_of_2").read_config().fold == "2/2"
    assert [row.number for row in table] == [1, 2]
    assert (table[0].difference, table[1].suspects) == (None, None)
    assert table[1].difference.value == pytest.approx(table[1].metrics.ap - table[0].metrics.ap)
    images = pl.read_parquet(tmp_path / "mined1/images.parquet")
    assert table[0].hard_positives == images["hard_positives"].sum() > 0
    assert table[0].suspects == len(pl.read_parquet(tmp_path / "mined1/suspects.parquet"))
    written = json.loads((tmp_path / "rounds.json").read_text())["rounds"]
    assert [row["hard_negatives"] for row in written] == [table[0].hard_negatives, None]


def test_the_runs_own_model_may_judge_and_suspects_be_kept(config, tmp_path):
    mine_in_rounds(config, 2, tmp_path, folds=None, suspects="keep", progress=False)
    assert not (tmp_path / "round1/folds").exists()
    assert RunFolder(tmp_path / "round2").read_config().suspects == "keep"


def test_a_loop_that_was_stopped_goes_on(config, tmp_path, monkeypatch):
    trained, original = [], Trainer.run_epoch

    def stopped_in_the_second_round(self, reporter):
        trained.append((self.config.mined is not None, self.config.fold))
        if trained[-1] == (True, None) and len(trained) == 4:
            raise KeyboardInterrupt
        return original(self, reporter)

    monkeypatch.setattr(Trainer, "run_epoch", stopped_in_the_second_round)
    with pytest.raises(KeyboardInterrupt):
        mine_in_rounds(config, 2, tmp_path, folds=2, progress=False)
    with pytest.raises(RunError, match="continue with --resume"):
        mine_in_rounds(config, 2, tmp_path, folds=2, progress=False)
    assert len(mine_in_rounds(config, 2, tmp_path, folds=2, resume=True, progress=False)) == 2
    assert trained == [(False, None), (False, "1/2"), (False, "2/2"), (True, None), (True, None)]


def test_what_cannot_be_used_is_found_out_before_the_first_round(config, tmp_path):
    with pytest.raises(ConfigError, match="one of keep, down, drop"):
        mine_in_rounds(config, 2, tmp_path / "loop", suspects="burn")
    assert not (tmp_path / "loop").exists()


def test_one_round_is_no_loop(config, tmp_path):
    with pytest.raises(ConfigError, match="at least 2 rounds, got 1"):
        mine_in_rounds(config, 1, tmp_path / "loop")
    assert not (tmp_path / "loop").exists()


def test_decisions_are_of_no_round(config, tmp_path):
    with pytest.raises(ConfigError, match="a loop mines anew in each round"):
        mine_in_rounds(config, 2, tmp_path / "out", suspects="decisions.json", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_loop_reassigns_what_the_round_before_missed(config, tmp_path):
    mine_in_rounds(config, 2, tmp_path, folds=None, reassign=2, progress=False)
    first, second = (RunFolder(tmp_path / f"round{number}").read_config() for number in (1, 2))
    assert (first.reassign, second.reassign) == (0, 2)


def test_a_loop_that_could_not_reassign_in_its_second_round_does_not_begin(config, tmp_path):
    with pytest.raises(ConfigError, match="FCOSPoints"):
        mine_in_rounds(replace(config, detector="fcos"), 2, tmp_path / "loop", reassign=2, progress=False)
    assert not (tmp_path / "loop").exists()


def test_a_run_of_segmentation_is_mined_and_the_next_round_learns_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 6, "val": 2})
    config = TrainingConfig(task="segmentation", image_size=48, epochs=1, batch_size=4, workers=0)
    train(config, tmp_path / "run", progress=False)
    mine_run(tmp_path / "run", tmp_path / "mined", progress=False)
    facts = json.loads((tmp_path / "mined" / "mined.json").read_text())
    assert (facts["task"], facts["data"], facts["split"], facts["predictions"]) == (
        "segmentation",
        "scenes",
        "train",
        "run",
    )
    assert len(pl.read_parquet(tmp_path / "mined" / "images.parquet")) == 6
    again = train(replace(config, mined=str(tmp_path / "mined"), suspects="drop"), tmp_path / "again", progress=False)
    assert again.metrics.miou is not None
    with pytest.raises(ConfigError, match="a loop is of boxes"):
        mine_in_rounds(config, 2, tmp_path / "loop")
