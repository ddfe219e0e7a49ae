"""Predictions of images that their model did not learn from."""

import logging

import pytest

from hardmine.errors import ConfigError, RunError
from hardmine.evaluation import read_predictions
from hardmine.training import TrainingConfig, load_run, train
from hardmine.training.data import open_training_data
from hardmine.training.folder import RunFolder
from hardmine.training.mask_data import open_training_masks
from hardmine.training.out_of_fold import predict_for_mining, predict_masks_for_mining
from hardmine.training.processes import start_accelerator
from hardmine.training.segment import predict_probabilities


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


@pytest.fixture(scope="module")
def run_of_masks(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 8, "val": 2})
        config = TrainingConfig(
            task="segmentation", image_size=32, epochs=1, batch_size=4, label_errors="dropped=.5", workers=0
        )
        yield train(config, tmp_path_factory.mktemp("masks") / "run", progress=False).folder.path


def test_every_mask_is_predicted_by_a_model_that_did_not_learn_it(run_of_masks):
    dataset, found = predict_masks_for_mining(run_of_masks, 2, progress=False)
    assert any((dataset.mask(place) != dataset.true_mask(place)).any() for place in range(8))
    found = dict(found)
    assert sorted(found) == list(range(8))
    by_fold = {}
    for number in (1, 2):
        folder = run_of_masks / "folds" / f"{number}_of_2"
        learnt, held = open_training_masks(RunFolder(folder).read_config())
        assert not ids(learnt) & ids(held)
        segmenter = load_run(folder).segmenter
        own = predict_probabilities(segmenter, held, start_accelerator())
        by_fold |= {place: of.cpu().numpy() for place, of in zip(held.places, own, strict=True)}
    assert sorted(by_fold) == list(range(8))
    for place, of_image in found.items():
        assert of_image.shape == (5, 128, 128)
        assert of_image.sum(axis=0) == pytest.approx(1, abs=1e-5)
        assert (of_image == by_fold[place]).all()


def test_the_run_itself_predicts_what_it_has_learnt(run_of_masks):
    dataset, found = predict_masks_for_mining(run_of_masks, progress=False)
    own = predict_probabilities(load_run(run_of_masks).segmenter, dataset, start_accelerator())
    for (place, of_image), expected in zip(found, own, strict=True):
        assert (of_image == expected.cpu().numpy()).all(), place
    with pytest.raises(ConfigError, match="got 1 folds"):
        predict_masks_for_mining(run_of_masks, 1)
