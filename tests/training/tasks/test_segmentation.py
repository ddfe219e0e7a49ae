"""A segmentation from its configuration to a run folder, and what can be done with that."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hardmine.data import open_segmentation
from hardmine.errors import ConfigError, DataError, EvidenceError, RunError
from hardmine.evaluation import judge_masks
from hardmine.training import RunFolder, TrainingConfig, evaluate_run, load_run, predict_run, train
from hardmine.training.batches import BatchOrder, training_loader
from hardmine.training.checkpoint import load_tensors
from hardmine.training.run import make_detector
from hardmine.training.tasks import SEGMENTATION
from hardmine.training.trainer import Trainer
from tests.seen_masks import CLASSES

FROM_A_CLOCK = {"seconds", "seconds_per_step", "images_per_second", "peak_memory_mb"}


@pytest.fixture(scope="module")
def run(masked, tmp_path_factory):
    return train(masked(), tmp_path_factory.mktemp("run") / "run", progress=False)


def rows_of(folder):
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in FROM_A_CLOCK} for row in rows]


def masks_of(folder):
    return {file.name: np.array(Image.open(file)) for file in sorted(folder.iterdir())}


def test_a_run_leaves_masks_of_every_image_and_their_measures(run, masked_data):
    assert {file.name for file in run.folder.path.iterdir()} == {
        *("checkpoint.safetensors", "config.json", "env.json", "metrics.jsonl", "predictions_val"),
        "weights.safetensors",
    }
    found, val = masks_of(run.predictions), open_segmentation(masked_data, "val")
    assert list(found) == [f"val_{number}.png" for number in range(5)]
    judged = judge_masks(((val.mask(place), mask) for place, mask in enumerate(found.values())), CLASSES)
    assert judged.metrics == run.metrics
    assert run.main == run.metrics.miou > 0.1
    assert run.rows[-1]["iou_per_class"].keys() == set(CLASSES)


def test_a_class_that_is_nowhere_is_undefined_and_no_part_of_the_mean(run, masked_data):
    assert all((mask != 2).all() for mask in masks_of(run.predictions).values()) == (
        run.metrics.iou_per_class["dot"] is None
    )
    assert run.rows[-1]["boundary_iou_per_class"].keys() == set(CLASSES)


def test_a_run_comes_back_and_measures_as_it_did(run):
    loaded = load_run(run.folder.path)
    assert (loaded.classes, loaded.config) == (CLASSES, run.config)
    assert loaded.segmenter is loaded.model
    with pytest.raises(RunError, match="run of segmentation, of which there are no boxes"):
        _ = loaded.detector
    kept = masks_of(run.predictions)
    shutil.rmtree(run.predictions)
    assert evaluate_run(run.folder.path) == run.metrics
    assert all(np.array_equal(mask, kept[name]) for name, mask in masks_of(run.predictions).items())


def test_a_run_is_measured_on_another_split_and_on_other_data(run, masked_data, tmp_path):
    on_test = evaluate_run(run.folder.path, split="test")
    assert len(masks_of(run.folder.masks("test"))) == 4
    shutil.copytree(masked_data, tmp_path / "copy")
    assert evaluate_run(run.folder.path, tmp_path / "copy", "test") == on_test
    (tmp_path / "copy" / "classes.txt").write_text("ground\ndot\nsquare")
    with pytest.raises(DataError, match="classes are ground, dot, square; expected ground, square, dot, in this order"):
        evaluate_run(run.folder.path, tmp_path / "copy", "test")


def test_masks_are_predicted_into_a_new_folder(run, masked_data, tmp_path):
    out = predict_run(run.folder.path, None, None, tmp_path / "out")
    assert masks_of(out).keys() == masks_of(run.predictions).keys()
    assert all(np.array_equal(mask, masks_of(run.predictions)[name]) for name, mask in masks_of(out).items())
    with pytest.raises(RunError, match="exists already; masks are written as PNG"):
        predict_run(run.folder.path, None, None, out)
    with pytest.raises(RunError, match="is no folder"):
        predict_run(run.folder.path, None, None, tmp_path / "out.json")
    pictures = tmp_path / "pictures"
    shutil.copytree(masked_data / "images" / "val", pictures)
    found = masks_of(predict_run(run.folder.path, pictures, None, tmp_path / "of pictures"))
    assert all(np.array_equal(mask, masks_of(out)[name]) for name, mask in found.items())


def test_options_of_boxes_are_refused_when_a_run_is_used(run):
    with pytest.raises(ConfigError, match="--allow-unlabelled are of boxes"):
        evaluate_run(run.folder.path, split="test", allow_unlabelled=True)


def test_initial_weights_and_batches_do_not_depend_on_the_recipe(masked):
    states = [make_detector(masked(recipe=name), 3).model.state_dict() for name in ("ce", "focal", "pixel_ohem")]
    for state in states[1:]:
        assert all(torch.equal(tensor, states[0][name]) for name, tensor in state.items())
    train_data, _ = SEGMENTATION.open_training_data(masked())
    batches = []
    for recipe in ("ce", "pixel_ohem"):
        config = masked(recipe=recipe)
        order = BatchOrder(len(train_data), config, 0, 1)
        batches.append(list(training_loader(train_data, config, order, 0, SEGMENTATION.augmentation(config))))
    for (images, masks), (others, other_masks) in zip(*batches, strict=True):
        assert images.shape == (4, 3, 48, 48)
        assert torch.equal(images, others)
        assert torch.equal(masks, other_masks)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(run, masked, tmp_path, monkeypatch):
    run_epoch = Trainer.run_epoch

    def stopped(self, reporter):
        if len(self.rows) == 1:
            raise KeyboardInterrupt
        return run_epoch(self, reporter)

    monkeypatch.setattr(Trainer, "run_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(masked(), tmp_path / "run", progress=False)
    monkeypatch.setattr(Trainer, "run_epoch", run_epoch)
    again = train(masked(), tmp_path / "run", resume=True, progress=False)
    assert again.folder.weights.read_bytes() == run.folder.weights.read_bytes()
    assert rows_of(again.folder) == rows_of(run.folder)


def test_two_processes_train_as_one_does(run, masked, tmp_path):
    script = "import sys; from hardmine.training import *; train(TrainingConfig.from_json(sys.argv[1]), sys.argv[2])"
    (tmp_path / "script.py").write_text(script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(tmp_path / "script.py"), masked(batch_size=2).to_json(), str(tmp_path / "run")]
    subprocess.run(command, env=os.environ | {"ACCELERATE_USE_CPU": "true"}, check=True)
    together = RunFolder(tmp_path / "run")
    (weights, _), (expected, _) = load_tensors(together.weights), load_tensors(run.folder.weights)
    torch.testing.assert_close(weights, expected, rtol=1e-3, atol=1e-4)
    row = rows_of(together)[-1]
    assert row["miou"] == pytest.approx(run.metrics.miou, abs=1e-3)
    found, alone = masks_of(together.masks("val")), masks_of(run.predictions)
    assert found.keys() == alone.keys()
    assert np.mean([(found[name] == alone[name]).mean() for name in alone]) > 0.999


@pytest.mark.parametrize("recipe", ["focal", "ghm", "class_balanced", "pixel_ohem", "random"])
def test_recipes_of_pixels_are_learnt(recipe, masked, tmp_path):
    result = train(masked(recipe=recipe, epochs=1), tmp_path / "run", progress=False)
    assert 0 < result.rows[0]["loss"] == pytest.approx(result.rows[0]["classification"])


@pytest.mark.parametrize("detector", ["fcn", "deeplabv3"])
def test_other_segmenters_are_trained(detector, masked, tmp_path):
    result = train(masked(detector=detector, epochs=1, batch_size=1), tmp_path / "run", progress=False)
    assert ("auxiliary" in result.rows[0]) == (detector == "fcn")
    assert result.metrics.miou is not None


def test_segformer_is_trained(masked, tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    config = masked(detector="transformers:segformer", epochs=1)
    result = train(config, tmp_path / "run", progress=False)
    assert load_run(result.folder.path).segmenter.num_classes == 3


def test_a_fold_and_label_errors_leave_what_is_measured_right(masked, masked_data, tmp_path):
    config = masked(label_errors="swapped=1", fold="1/4", epochs=1)
    train_data, held = SEGMENTATION.open_training_data(config)
    whole = open_segmentation(masked_data, "train")
    right = {record.image_id: whole.mask(place) for place, record in enumerate(whole.records)}
    assert (len(train_data), len(held), config.measured_split) == (6, 2, "held_out")
    assert all(np.array_equal(held.mask(place), right[held.records[place].image_id]) for place in range(2))
    assert any(
        not np.array_equal(train_data.mask(place), right[train_data.records[place].image_id]) for place in range(6)
    )
    result = train(config, tmp_path / "run", progress=False)
    assert result.predictions.name == "predictions_held_out"
    assert result.folder.label_errors.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proposals": "selective_search"}, "proposals is 'selective_search' for segmentation"),
        ({"record": True}, "record is True for segmentation: it is of boxes"),
        ({"allow_unlabelled": True}, "allow_unlabelled is True for segmentation"),
        ({"crop": 0.5}, "always cut, to image_size"),
        ({"augment": "paste=.5"}, "augment is 'paste=.5' for segmentation: it is of boxes"),
        ({"reassign": 1}, "reassign is 1 for segmentation: it is of boxes"),
        ({"label_errors": "spurious=.1"}, r"shares of the regions .* dropped, shifted, grown, swapped"),
        ({"task": "detection", "classes": "a,b"}, "classes is 'a,b' for detection: it is of masks"),
        ({"task": "detection", "instances": True}, "instances is True for detection"),
        ({"task": "panoptic"}, "task must be one of detection, segmentation, got 'panoptic'"),
    ],
)
def test_options_of_the_other_task_are_refused(options, message, masked):
    with pytest.raises(ConfigError, match=message):
        masked(**options)


@pytest.mark.parametrize(("task", "detector"), [("segmentation", "retinanet"), ("detection", "lraspp")])
def test_models_of_the_other_task_are_refused(task, detector, masked):
    with pytest.raises(ConfigError, match=rf"{detector} is no model for --task {task}; segmenters are lraspp"):
        make_detector(TrainingConfig(task=task, detector=detector), 3)


def test_a_recipe_for_boxes_is_refused_before_anything_is_written(masked, tmp_path):
    with pytest.raises(EvidenceError, match="'ohem' needs samples that are boxes"):
        train(masked(recipe="ohem"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_default_segmenter_is_small(masked):
    config = TrainingConfig(task="segmentation")
    assert (config.detector, config.side, replace(config, data="x").side) == ("lraspp", 128, 256)
    assert TrainingConfig().detector == "fasterrcnn"


def test_scenes_have_masks_too(tmp_path, monkeypatch):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 4, "val": 3})
    result = train(TrainingConfig(task="segmentation", epochs=1, image_size=64), tmp_path / "run", progress=False)
    assert list(masks_of(result.predictions)) == ["00001.png", "00002.png", "00003.png"]


@pytest.mark.parametrize(("accuracy", "is_said"), [([0.33, 0.36], True), ([0.33, 0.4], False)])
def test_what_calls_all_pixels_by_one_class_has_hardly_learnt(accuracy, is_said):
    measures = [{"iou of a": 0.1, "iou of b": 0.1, "iou of c": 0.1, "mean_accuracy": of} for of in accuracy]
    assert (SEGMENTATION.hardly_learnt(measures) is not None) == is_said
