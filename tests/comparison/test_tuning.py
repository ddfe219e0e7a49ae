import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hardmine.comparison.contenders import RecipeChoice
from hardmine.comparison.search import Trial
from hardmine.comparison.tuning import TUNING_SEED, Tuned, TunedTrial, rounds, tune
from hardmine.data import open_dataset
from hardmine.errors import ConfigError, DataError, DivergedError, RunError
from hardmine.training.data import open_training_data

CHOICES = [RecipeChoice("random"), RecipeChoice("focal")]


@pytest.fixture(scope="module")
def config(small):
    return small(epochs=6)


@pytest.fixture(scope="module")
def tuned(config, tmp_path_factory):
    """Two recipes with three trials each, really trained: all for two epochs, one of each for six."""
    out = tmp_path_factory.mktemp("tuning") / "out"
    return out, tune(config, CHOICES, 3, out, progress=False)


def test_every_recipe_gets_the_same_trials(tuned):
    _, found = tuned
    numbers = {label: [(of.trial.number, of.epochs) for of in one.trials] for label, one in found.items()}
    assert set(numbers) == {"random", "focal"}
    for of in numbers.values():
        assert of[:3] == [(1, 2), (2, 2), (3, 2)]
        assert [epochs for _, epochs in of[3:]] == [6]


def test_the_best_goes_on_and_is_chosen(tuned):
    _, found = tuned
    for one in found.values():
        short, long = one.trials[:3], one.trials[3]
        assert max(of.ap for of in short) == next(of.ap for of in short if of.trial == long.trial)
        assert one.chosen == long


def test_trials_are_ordinary_runs_on_a_part_of_the_training_split(tuned, small_data):
    out, found = tuned
    num_images = len(open_dataset(small_data, "train"))
    for label, one in found.items():
        for of in one.trials:
            run = out / label / f"trial{of.trial.number}-epochs{of.epochs}"
            stored = json.loads((run / "config.json").read_text())
            assert (stored["lr"], stored["recipe"], stored["seed"]) == (of.trial.lr, label, TUNING_SEED)
            assert stored["classification_weight"] == of.trial.classification_weight
            images = json.loads((run / "env.json").read_text())["images"]
            assert images["training"]["number"] + images["validation"]["number"] == num_images
            assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["ap"] == of.ap


def test_what_is_finished_is_not_trained_again(tuned, config, monkeypatch):
    out, found = tuned
    monkeypatch.setattr("hardmine.training.trainer.Trainer.run_epoch", None)
    assert tune(config, CHOICES, 3, out, resume=True, progress=False) == found


def test_a_trial_that_diverges_is_not_chosen_and_stops_nothing(config, tmp_path, monkeypatch):
    from hardmine.comparison import together

    def first_diverges(config, folder, **_):
        if config.classification_weight == 1:
            raise DivergedError("the loss is not finite")
        return trained(replace(config, epochs=1), folder)

    trained = together.train
    monkeypatch.setattr(together, "train", first_diverges)
    found = tune(replace(config, epochs=1), CHOICES[:1], 2, tmp_path / "out", progress=False)["random"]
    assert [of.ap is None for of in found.trials] == [True, False]
    assert found.chosen.trial.number == 2


def test_what_was_gained_is_told_after_as_many_epochs_of_both():
    own, other = Trial(1, 0.1, 1.0), Trial(2, 0.2, 1.0)
    first = TunedTrial(own, 2, 0.25), TunedTrial(other, 2, 0.5)
    assert Tuned("random", (*first, TunedTrial(other, 6, 0.75))).gain == 0.25
    assert Tuned("random", (*first, TunedTrial(own, 6, 0.75))).gain == 0
    assert Tuned("random", (TunedTrial(own, 2, None), *first[1:])).gain is None


@pytest.mark.parametrize("epochs", [1, 3, 5, 6, 8, 30])
@pytest.mark.parametrize("num_trials", [2, 6, 9])
def test_the_last_round_trains_for_all_epochs_and_the_first_has_all_trials(num_trials, epochs):
    of = rounds(num_trials, epochs)
    assert (of[0][0], of[-1][1]) == (num_trials, epochs)
    assert all(keep >= 1 and length >= min(2, epochs) for keep, length in of)
    assert len(of) == (2 if epochs >= 6 else 1)


def test_of_equals_the_earlier_is_chosen():
    trials = [TunedTrial(Trial(number, 0.1, 1.0), 3, ap) for number, ap in ((1, 0.5), (2, None), (3, 0.5))]
    assert Tuned("random", tuple(trials)).chosen == trials[0]


def test_a_fold_of_ones_own_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="holds out a part of the training split itself"):
        tune(replace(config, fold="1/3"), CHOICES, 2, tmp_path / "out")


def test_where_all_trials_diverge_nothing_is_chosen(config, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise DivergedError("the loss is not finite")

    monkeypatch.setattr("hardmine.comparison.together.train", diverge)
    with pytest.raises(RunError, match=r"all trials of random diverged.*lower --lr"):
        tune(replace(config, epochs=1), CHOICES[:1], 2, tmp_path / "out", progress=False)


def test_what_diverged_does_not_go_on(config, tmp_path, monkeypatch):
    started = []

    def all_but_the_second_diverge(config, folder, **_):
        started.append((folder.name, config.epochs))
        if "trial2" not in folder.name:
            raise DivergedError("the loss is not finite")
        return SimpleNamespace(main=0.1)

    monkeypatch.setattr("hardmine.comparison.together.train", all_but_the_second_diverge)
    assert tune(config, CHOICES[:1], 6, tmp_path / "out", progress=False)["random"].chosen.trial.number == 2
    assert [name for name, epochs in started if epochs == 6] == ["trial2-epochs6"]


def test_a_part_held_out_without_objects_is_refused_before_training(config, small_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    truth = json.loads((data / "train.json").read_text())
    _, held_out = open_training_data(replace(config, fold="1/4"))
    empty = {record.image_id for record in held_out.records}
    truth["annotations"] = [of for of in truth["annotations"] if of["image_id"] not in empty]
    (data / "train.json").write_text(json.dumps(truth))
    with pytest.raises(DataError, match="held_out: no labelled object"):
        tune(replace(config, data=str(data)), CHOICES, 2, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
