import csv
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hardmine.comparison import Protocol, RecipeChoice
from hardmine.comparison.compare import _in_time, _look_alikes, compare, every_recipe
from hardmine.comparison.contenders import contenders
from hardmine.data import open_dataset, open_scenes
from hardmine.errors import ConfigError, DataError, EvidenceError, RunError
from hardmine.evaluation import MEASURES, evaluate_predictions
from hardmine.files.writing import write_json
from hardmine.recipes import RECIPES, Recipe, Slot
from hardmine.sampling import Sampling
from hardmine.training import TrainingConfig, train

RANDOM, OHEM = RecipeChoice("random"), RecipeChoice("ohem", {"budget": 16})


@pytest.fixture(scope="module")
def module_config(small_data, tmp_path_factory) -> TrainingConfig:
    data = tmp_path_factory.mktemp("data") / "small"
    shutil.copytree(small_data, data)
    _add_test_split(data)
    return TrainingConfig(data=str(data), backbone="tiny", image_size=64, epochs=1, batch_size=4, workers=0)


@pytest.fixture(scope="module")
def finished(module_config, tmp_path_factory):
    """Two recipes on two seeds, really trained."""
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, compare(module_config, [RANDOM, OHEM], [0, 1], out, progress=False)


def test_every_recipe_and_seed_is_an_ordinary_run(finished):
    out, comparison = finished
    folders = sorted(path.parent.relative_to(out).as_posix() for path in out.glob("*/*/weights.safetensors"))
    assert folders == ["ohem-budget=16/seed0", "ohem-budget=16/seed1", "random/seed0", "random/seed1"]
    stored = json.loads((out / "ohem-budget=16/seed1/config.json").read_text())
    assert (stored["recipe"], stored["recipe_options"], stored["seed"]) == ("ohem", {"budget": 16}, 1)
    assert [row.recipe for row in comparison.rows] == ["random", "ohem-budget=16"]


def test_rows_are_means_over_the_seeds_of_what_the_runs_measured(finished):
    out, comparison = finished
    for row in comparison.rows:
        last_lines = [(out / row.recipe / f"seed{k}" / "metrics.jsonl").read_text().splitlines()[-1] for k in (0, 1)]
        for name in ("ap", "ap50", "ap75"):
            assert row[name].by_seed == pytest.approx(tuple(json.loads(line)[name] for line in last_lines))
            assert row[name].mean == pytest.approx(sum(row[name].by_seed) / 2)
        assert row.peak_memory_mb > 0
        assert row.look_alikes is None
        assert (row.seeds, row.epochs) == ((0, 1), 1)
    first, second = comparison.rows
    assert (first.difference, first.step_time_ratio, first.verdict) == (None, 1.0, "")
    assert second.difference is not None
    assert second.difference.value == pytest.approx(second["ap"].mean - first["ap"].mean, abs=1e-9)


def test_every_measure_of_every_recipe_is_there(finished):
    _, comparison = finished
    first, second = comparison.rows
    assert set(first.measures) == set(second.measures) >= set(MEASURES)
    for name in comparison.rows[0].measures:
        assert first[name].difference is None
        if second[name].difference is not None:
            assert second[name].difference.value == pytest.approx(second[name].mean - first[name].mean, abs=1e-9)


def test_the_files_hold_the_table(finished):
    out, comparison = finished
    stored = json.loads((out / "compare.json").read_text())
    assert stored == json.loads(json.dumps(comparison.to_dict()))
    assert stored["recipes"][1]["verdict"] == comparison.rows[1].verdict
    assert stored["environment"] == json.loads((out / "random/seed0/env.json").read_text())
    lines = list(csv.DictReader((out / "compare.csv").read_text().splitlines()))
    assert {line["recipe"] for line in lines} == {"random", "ohem-budget=16"}
    of_ap = {line["recipe"]: line for line in lines if line["measure"] == "ap"}
    assert float(of_ap["ohem-budget=16"]["low"]) == comparison.rows[1].difference.low
    assert of_ap["random"]["low"] == ""


def test_resume_trains_nothing_again_and_gives_the_same_table(finished, module_config, monkeypatch):
    out, comparison = finished
    monkeypatch.setattr("hardmine.training.trainer.Trainer.run_epoch", lambda *_: pytest.fail("trained again"))
    again = compare(module_config, [RANDOM, OHEM], [0, 1], out, resume=True, progress=False)
    assert again == comparison


def test_an_existing_folder_is_refused_untouched(finished, module_config):
    out, _ = finished
    before = (out / "compare.json").read_bytes()
    with pytest.raises(RunError, match=r"exists already.*--resume"):
        compare(module_config, [RANDOM, OHEM], [0, 1], out)
    assert (out / "compare.json").read_bytes() == before


def test_seeds_are_the_outer_loop(module_config, tmp_path, monkeypatch, caplog):
    started = []

    def interrupted(config, out, **options):
        started.append((config.seed, config.recipe))
        if len(started) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("hardmine.comparison.together.train", interrupted)
    with pytest.raises(KeyboardInterrupt), caplog.at_level(logging.INFO, "hardmine"):
        compare(module_config, [RANDOM, OHEM], [4, 7], tmp_path / "out")
    assert started == [(4, "random"), (4, "ohem"), (7, "random")]
    assert "run 2 of 4: ohem-budget=16, seed 4" in caplog.text


class NeedsTheImpossible(Sampling):
    needs = frozenset({"weather"})

    def weigh(self, samples):
        raise NotImplementedError


def test_the_last_recipe_is_checked_before_the_first_training(module_config, tmp_path, monkeypatch):
    recipe = Recipe(name="weather", slots=lambda head: {"select": Slot(NeedsTheImpossible())})
    monkeypatch.setitem(RECIPES, "weather", lambda: recipe)
    with pytest.raises(EvidenceError, match=r"'weather'.*'select' of fasterrcnn.*needs weather"):
        compare(module_config, [RANDOM, RecipeChoice("weather")], [0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("recipes", "seeds"), [([], [0]), ([RANDOM], []), ([RANDOM], [0, 0])])
def test_nothing_to_compare_is_refused(module_config, tmp_path, recipes, seeds):
    with pytest.raises(ConfigError, match="a comparison needs"):
        compare(module_config, recipes, seeds, tmp_path / "out")


def test_a_validation_split_without_objects_is_refused_before_training(module_config, small_data, tmp_path):
    for file in small_data.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    truth = json.loads((tmp_path / "val.json").read_text())
    (tmp_path / "val.json").write_text(json.dumps(truth | {"annotations": []}))
    with pytest.raises(DataError, match="split val: no labelled object"):
        compare(replace(module_config, data=str(tmp_path)), [RANDOM, OHEM], [0], tmp_path / "out")


def test_on_scenes_look_alike_errors_are_measured():
    scenes = open_scenes("val", num_images=12)
    num_planted = sum(map(len, scenes.look_alikes))
    index = next(i for i, boxes in enumerate(scenes.look_alikes) if len(boxes))
    x1, y1, x2, y2 = scenes.look_alikes[index][0].tolist()
    image_id = scenes.records[index].image_id
    fooled = {"image_id": image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.9}
    found = _look_alikes(scenes, [[fooled], []])
    assert found.num_look_alikes == num_planted
    # one look-alike is hit under the first seed, none under the second
    assert found.share_at_fixed_score == pytest.approx(0.5 / num_planted)


def test_what_is_tuned_is_trained_as_it_was_chosen(module_config, tmp_path):
    out = tmp_path / "out"
    comparison = compare(module_config, [RANDOM], [0], out, protocol=Protocol(tune=2), progress=False)
    trial = comparison.tuned["random"].chosen.trial
    stored = json.loads((out / "random/seed0/config.json").read_text())
    assert (stored["lr"], stored["classification_weight"]) == (trial.lr, trial.classification_weight)
    assert json.loads((out / "compare.json").read_text())["tuned"]["random"]["chosen"]["trial"] == trial.to_dict()


def test_a_recipe_against_itself_is_trained_on_other_seeds_and_called_noise(module_config, tmp_path):
    comparison = compare(module_config, [RANDOM, RANDOM], [0, 1], tmp_path / "out", progress=False)
    first, again = comparison.rows
    assert (first.seeds, again.seeds) == ((0, 1), (2, 3))
    assert first["ap"].by_seed != again["ap"].by_seed
    assert any("random again: the same recipe on other seeds (2, 3)" in note for note in comparison.notes)


def test_a_test_split_is_measured_and_chosen_by_nothing(finished, module_config):
    out, _ = finished
    protocol = Protocol(test_split="test")
    comparison = compare(module_config, [RANDOM, OHEM], [0, 1], out, protocol=protocol, resume=True, progress=False)
    for row in comparison.on_test:
        results = json.loads((out / row.recipe / "seed0/predictions_test.json").read_text())
        truth = open_dataset(module_config.data, "test").coco_ground_truth()
        assert row["ap"].by_seed[0] == pytest.approx(evaluate_predictions(truth, results).ap)
    assert any(note.startswith(("Chosen by its AP:", "On test:")) for note in comparison.notes)


def _add_test_split(data: Path) -> None:
    """The images of the training split, under names of their own."""
    truth = json.loads((data / "train.json").read_text())
    for image in truth["images"]:
        name = f"test_{image['file_name']}"
        (data / name).write_bytes((data / image["file_name"]).read_bytes())
        image["file_name"] = name
    (data / "test.json").write_text(json.dumps(truth))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_test_split_that_is_learnt_from_or_chosen_by_is_refused(module_config, tmp_path, split):
    with pytest.raises(ConfigError, match=f"split '{split}' is learnt from or measured on already"):
        compare(module_config, [RANDOM, OHEM], [0], tmp_path / "out", protocol=Protocol(test_split=split))
    assert not (tmp_path / "out").exists()


def test_one_group_of_images_is_refused_before_training(module_config, tmp_path):
    config = replace(module_config, group_by="folder")
    with pytest.raises(DataError, match="split val: one image, or one group of images"):
        compare(config, [RANDOM, OHEM], [0, 1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_joins_later_is_given_its_own_equal_time(module_config, tmp_path):
    file = tmp_path / "equal-time.json"
    compared = contenders([(RANDOM, module_config), (OHEM, module_config)], [0])
    runs = {
        label: [SimpleNamespace(rows=[{}] * 6, seconds_per_step=seconds)]
        for label, seconds in (("random", 1), (OHEM.label, 2))
    }
    write_json(file, {"random": 5})
    assert [of.config.epochs for of in _in_time(compared, runs, file)] == [5, 3]
    assert json.loads(file.read_text()) == {"random": 5, OHEM.label: 3}


@pytest.mark.parametrize("content", ["{", "[]", '{"random": 0}', '{"random": "6"}'])
def test_a_damaged_file_of_equal_time_is_told_with_what_to_do(module_config, tmp_path, content):
    file = tmp_path / "equal-time.json"
    file.write_text(content)
    with pytest.raises(RunError, match=r"equal-time.json is damaged.*delete it and the folder"):
        _in_time(contenders([(RANDOM, module_config)], [0]), {"random": []}, file)


def test_at_equal_time_each_recipe_is_trained_for_as_long_as_the_first(finished, module_config, monkeypatch):
    out, _ = finished
    ratios = iter([1.0, 0.5])
    monkeypatch.setattr("hardmine.comparison.compare._time_ratio", lambda *_: next(ratios, 7.0))
    options = {"protocol": Protocol(match_time=True), "resume": True, "progress": False}
    comparison = compare(module_config, [RANDOM, OHEM], [0, 1], out, **options)
    assert [row.epochs for row in comparison.at_equal_time] == [1, 2]
    stored = json.loads((out / "equal-time/ohem-budget=16/seed1/config.json").read_text())
    assert stored["epochs"] == 2
    again = compare(module_config, [RANDOM, OHEM], [0, 1], out, **options)  # times may have changed since
    assert [row.epochs for row in again.at_equal_time] == [1, 2]


def test_runs_are_handed_to_processes_where_several_are_asked_for(finished, module_config, monkeypatch):
    out, comparison = finished
    asked = []

    def one_after_the_other(jobs, num_processes, *, resume):
        asked.append((num_processes, [(job.number, job.name) for job in jobs]))
        return [train(job.config, job.folder, resume=resume, progress=False) for job in jobs]

    monkeypatch.setattr("hardmine.comparison.together.train_together", one_after_the_other)
    assert compare(module_config, [RANDOM, OHEM], [0, 1], out, resume=True, jobs=2) == comparison
    names = ["random, seed 0", "ohem-budget=16, seed 0", "random, seed 1", "ohem-budget=16, seed 1"]
    assert asked == [(2, list(enumerate(names, start=1)))]


def test_every_recipe_is_what_the_detector_takes_and_the_others_are_told(module_config, caplog):
    with caplog.at_level(logging.INFO, logger="hardmine"):
        names = [choice.name for choice in every_recipe(replace(module_config, detector="fcos"))]
    assert names[0] == "random"
    assert set(RECIPES) - set(names) >= {"ohem"}
    for name in set(RECIPES) - set(names):
        assert f"left out: recipe '{name}' " in caplog.text
