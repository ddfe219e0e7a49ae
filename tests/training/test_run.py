import errno
import json
import os
import shutil

import pytest
import torch

from hardmine.data import open_dataset
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.evaluation import evaluate_predictions, read_predictions
from hardmine.training import RunFolder, evaluate_run, load_run, predict_run, train
from hardmine.training.checkpoint import load_tensors, save_tensors
from hardmine.training.recipe_names import make_recipe
from hardmine.training.run import make_detector


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """A finished run."""
    return train(small(epochs=1), tmp_path_factory.mktemp("runs") / "run")


def test_a_run_comes_back_as_it_was_saved(run, small_data):
    loaded = load_run(run.folder.path)
    dataset = open_dataset(small_data, "train")
    assert (loaded.classes, loaded.category_ids) == (dataset.classes, dataset.category_ids)
    assert loaded.config == run.config
    assert not loaded.detector.training


def test_evaluating_a_run_again_gives_what_training_reported(run):
    before = run.predictions.read_bytes()
    run.predictions.unlink()
    assert evaluate_run(run.folder.path) == run.metrics
    assert run.predictions.read_bytes() == before


def test_a_run_is_evaluated_on_another_split(run, small_data):
    metrics = evaluate_run(run.folder.path, split="train")
    dataset = open_dataset(small_data, "train")
    predictions = read_predictions(run.folder.predictions("train"))
    assert evaluate_predictions(dataset.coco_ground_truth(), predictions) == metrics


def test_predictions_are_written_once(run, small_data, tmp_path):
    out = predict_run(run.folder.path, small_data, "val", tmp_path / "found.json")
    assert read_predictions(out) == read_predictions(run.predictions)
    with pytest.raises(RunError, match="exists already"):
        predict_run(run.folder.path, small_data, "val", out)


def test_predictions_that_another_process_wrote_meanwhile_are_kept(run, small_data, tmp_path, monkeypatch):
    def slow(*_, **__):
        (tmp_path / "found.json").write_text("first")
        return []

    monkeypatch.setattr("hardmine.training.tasks.detection.predict", slow)
    with pytest.raises(RunError, match="File exists"):
        predict_run(run.folder.path, small_data, "val", tmp_path / "found.json")
    assert (tmp_path / "found.json").read_text() == "first"


def test_metrics_are_there_even_where_predictions_cannot_be_kept(run, monkeypatch, caplog):
    def full(_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = run.predictions.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert evaluate_run(run.folder.path) == run.metrics
    assert "the predictions could not be kept: cannot write" in caplog.text
    assert "Read-only file system; choose a place that can be written" in caplog.text
    assert run.predictions.read_bytes() == before


def test_shards_of_another_run_are_not_taken_for_these(run, small, small_data, tmp_path):
    predict_run(run.folder.path, small_data, "val", tmp_path / "found")
    predict_run(run.folder.path, small_data, "val", tmp_path / "found")
    other = train(small(epochs=1, seed=1), tmp_path / "other")
    with pytest.raises(RunError, match=r"found holds predictions of something else \(weights differ\)"):
        predict_run(other.folder.path, small_data, "val", tmp_path / "found")


def test_other_classes_are_refused(run, small_data, tmp_path):
    truth = json.loads((small_data / "val.json").read_text())
    for category in truth["categories"]:
        category["name"] += " (other)"
    other = small_data / "other_classes.json"
    other.write_text(json.dumps(truth))
    try:
        with pytest.raises(DataError, match="three"):
            predict_run(run.folder.path, other, None, tmp_path / "found.json")
    finally:
        other.unlink()
    assert not (tmp_path / "found.json").exists()


def test_what_is_no_finished_run_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_text(run.config.to_json())
    with pytest.raises(RunError, match="is not finished"):
        load_run(tmp_path)
    RunFolder(tmp_path).weights.write_bytes(run.folder.weights.read_bytes()[:-100])
    with pytest.raises(RunError, match="truncated"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"classes": 3},
        {"classes": {"a": 1}},
        {"classes": [], "category_ids": []},
        {"classes": ["a"], "category_ids": [1, 2]},
        {"classes": [1], "category_ids": [1]},
        {"classes": ["a"], "category_ids": ["1"]},
    ],
)
def test_weights_without_their_classes_are_refused(run, tmp_path, facts):
    folder = RunFolder(tmp_path)
    folder.config.write_text(run.config.to_json())
    tensors, _ = load_tensors(run.folder.weights)
    save_tensors(folder.weights, tensors, facts)
    with pytest.raises(RunError, match="its header names no classes"):
        load_run(tmp_path)


def test_weights_that_are_not_finite_are_refused(run, tmp_path):
    folder = RunFolder(tmp_path)
    folder.config.write_text(run.config.to_json())
    tensors, facts = load_tensors(run.folder.weights)
    tensors[next(iter(tensors))].view(-1)[0] = torch.nan
    save_tensors(folder.weights, tensors, facts)
    with pytest.raises(RunError, match="is not finite, so its detector finds nothing"):
        load_run(tmp_path)


def test_weights_of_another_detector_are_refused(run, tmp_path):
    folder = RunFolder(tmp_path)
    folder.config.write_text(run.config.to_json().replace('"retinanet"', '"fasterrcnn"'))
    folder.weights.write_bytes(run.folder.weights.read_bytes())
    with pytest.raises(RunError, match="does not fit this detector"):
        load_run(tmp_path)


def test_initial_weights_depend_on_the_seed_only(small):
    def weights(**options):
        state = make_detector(small(**options), 4).model.state_dict()
        return {name: tensor for name, tensor in state.items() if "cls_logits.bias" not in name}  # a recipe's prior

    def equal(a, b):
        return all(torch.equal(a[name], b[name]) for name in a)

    torch.rand(7)
    plain = weights(recipe="random")
    assert equal(plain, weights(recipe="focal", batch_size=2))
    assert not equal(plain, weights(seed=1))


def test_recipes_are_found_by_name_and_take_their_options():
    assert make_recipe("ohem", {}).name == "ohem"
    assert make_recipe("ohem", {"budget": 17}).parameters["budget"] == 17
    with pytest.raises(ConfigError, match="unknown recipe 'ohen'; did you mean ohem"):
        make_recipe("ohen", {})
    with pytest.raises(ConfigError, match="unknown recipe 'xyzzy'; there are: random, "):
        make_recipe("xyzzy", {})
    with pytest.raises(ConfigError, match="unknown option of recipe ohem 'bugdet'; did you mean budget"):
        make_recipe("ohem", {"bugdet": 1})
    with pytest.raises(ConfigError, match=r"option budget of recipe ohem must be int \| None, got 'x'"):
        make_recipe("ohem", {"budget": "x"})


def test_images_without_labels_are_predicted_with_the_classes_ids_of_the_run(small, small_data, tmp_path):
    """Whatever the ids of the training data are: what is found is of these, and images are called by name."""
    train(small(epochs=1), tmp_path / "run", progress=False)
    images = tmp_path / "images"
    images.mkdir()
    dataset = open_dataset(small_data, "train")
    shutil.copy(dataset.records[0].file, images / "a.png")
    results = json.loads(predict_run(tmp_path / "run", images, None, tmp_path / "found.json").read_text())
    assert {result["file_name"] for result in results} == {"images/a.png"}
    assert {result["category_id"] for result in results} <= set(dataset.category_ids)
    assert load_run(tmp_path / "run").classes_by_id == dict(zip(dataset.category_ids, dataset.classes, strict=True))
