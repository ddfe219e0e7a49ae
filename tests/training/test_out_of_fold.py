"""Predictions of images that their model did not learn from."""

import logging

import pytest

from hardmine.errors import ConfigError, RunError
from hardmine.evaluation import read_predictions
from hardmine.training import train
from hardmine.training.data import open_training_data
from hardmine.training.folder import RunFolder
from hardmine.training.out_of_fold import predict_for_mining


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    return train(small(epochs=1), tmp_path_factory.mktemp("run") / "run", progress=False).folder.path


def ids(dataset):
    return {record.image_id for record in dataset.records}


def test_every_image_is_predicted_by_a_model_that_did_not_learn_it(run):
    dataset, found = predict_for_mining(run, 2, progress=False)
    held = {}
    for number in (1, 2):
        folder = RunFolder(run / "folds" / f"{number}_of_2")
        learnt, held[number] = map(ids, open_training_data(folder.read_config()))
        own = read_predictions(folder.predictions("held_out"))
        assert {result["image_id"] for result in own} == held[number]
        assert not learnt & held[number]
        assert all(result in found for result in own)
    assert held[1] | held[2] == ids(dataset)
    assert len(found) == sum(result["image_id"] in ids(dataset) for result in found)


def test_what_is_trained_already_is_kept(run, monkeypatch):
    predict_for_mining(run, 2, progress=False)
    monkeypatch.setattr("hardmine.training.trainer.Trainer.run_epoch", lambda *_: pytest.fail("trained again"))
    predict_for_mining(run, 2, progress=False)


def test_without_folds_the_run_itself_predicts(run):
    dataset, found = predict_for_mining(run)
    assert {result["image_id"] for result in found} == ids(dataset)


def test_which_fold_is_trained_is_told(run, caplog):
    with caplog.at_level(logging.INFO, "hardmine"):
        predict_for_mining(run, 2, progress=False)
    assert [message for message in caplog.messages if message.startswith("fold")] == ["fold 1 of 2", "fold 2 of 2"]


def test_what_has_no_folds_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="got 1 folds"):
        predict_for_mining(run, 1)
    predict_for_mining(run, 2, progress=False)
    with pytest.raises(ConfigError, match="with fold 1/2"):
        predict_for_mining(run / "folds" / "1_of_2", 2)
    with pytest.raises(RunError, match="is not a run folder"):
        predict_for_mining(tmp_path, 2)


def test_the_data_may_have_moved(run, small_data, tmp_path):
    dataset, _ = predict_for_mining(run, train_split="val")
    assert dataset.split == "val"
