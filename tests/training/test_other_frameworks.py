"""Detectors whose framework computes the losses itself are trained, continued, recorded and used as any other."""

from pathlib import Path

import polars as pl
import pytest
import torch

from hardmine.comparison.compare import RecipeChoice, compare, every_recipe
from hardmine.comparison.together import suitable_processes
from hardmine.data import open_dataset
from hardmine.errors import ConfigError
from hardmine.recipes import RECIPES
from hardmine.training import RunFolder, TrainingConfig, evaluate_run, predict_run, train
from hardmine.training.processes import start_accelerator
from hardmine.training.run import make_detector
from tests.stand_in import DENSE, SETS

pytestmark = pytest.mark.usefixtures("stand_in")
TINY = {"detector": DENSE, "backbone": "micro"}


def weights_of(**options) -> dict[str, torch.Tensor]:
    return make_detector(TrainingConfig(detector=DENSE, **options), 3).model.state_dict()


def test_initial_weights_depend_on_the_seed_and_not_on_the_recipe():
    own, mined, other = weights_of(), weights_of(recipe="hnm"), weights_of(seed=1)
    torch.testing.assert_close(own, mined, rtol=0, atol=0)
    assert not torch.equal(own["body.0.0.weight"], other["body.0.0.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet18"}, "standin:dense has a backbone of its own; leave backbone='resnet18' out"),
        ({"weights": "imagenet"}, "weights 'imagenet' are of a torchvision backbone, and standin:dense has its own"),
        ({"detector": "standin:dens"}, "unknown model of standin 'dens'; did you mean dense"),
    ],
)
def test_what_such_a_detector_cannot_have_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        weights_of_config(TrainingConfig.from_dict(TINY | options))


def weights_of_config(config: TrainingConfig) -> None:
    make_detector(config, 3)


def test_processes_are_not_filled_with_detectors_of_unknown_size():
    torch.set_num_threads(2)
    try:
        assert suitable_processes(TrainingConfig(detector="retinanet"), 4) == (
            1 if torch.accelerator.is_available() else 2
        )
        assert suitable_processes(TrainingConfig(detector=DENSE), 4) == 1
    finally:
        torch.set_num_threads(1)


def test_parameters_without_a_gradient_are_looked_for_among_several_processes():
    assert start_accelerator(uses_all=False).ddp_handler.find_unused_parameters
    assert not start_accelerator().ddp_handler.find_unused_parameters


@pytest.mark.parametrize(("detector", "recipe"), [(DENSE, "random"), (DENSE, "ghm"), (SETS, "hnm")])
def test_a_run_that_was_stopped_goes_on_exactly(detector, recipe, small, tmp_path, monkeypatch):
    """Its loss changes with the epoch, so the detector must be told where it goes on; a sampling has its memory."""
    config = small(detector=detector, backbone="micro", recipe=recipe, epochs=3, record=True)
    whole = train(config, tmp_path / "whole", progress=False)
    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr("hardmine.training.trainer.Trainer.run_epoch", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            train(config, stopped, progress=False)
    rest = train(config, stopped, resume=True, progress=False)
    assert [row["loss"] for row in rest.rows] == [row["loss"] for row in whole.rows]
    assert rest.metrics == whole.metrics
    assert whole.folder.weights.read_bytes() == rest.folder.weights.read_bytes()


def stop_after(num_epochs: int):
    from hardmine.training.trainer import Trainer

    run_epoch = Trainer.run_epoch

    def run(self, reporter):
        if len(self.rows) == num_epochs:
            raise KeyboardInterrupt
        return run_epoch(self, reporter)

    return run


def test_a_finished_run_is_measured_and_predicts(small, small_data, tmp_path):
    result = train(small(detector=DENSE, backbone="micro", image_size=None), tmp_path / "run", progress=False)
    assert evaluate_run(tmp_path / "run") == result.metrics
    written = predict_run(tmp_path / "run", str(small_data), "val", tmp_path / "found")
    table = pl.read_parquet(written / "*.parquet")
    assert set(table["image_id"]) == {1, 2, 3, 4, 5}
    assert "standin:dense, image size None" in (written / "plan.json").read_text()
    assert "standin" in RunFolder(tmp_path / "run").env.read_text()


def test_recipes_are_compared_and_those_it_does_not_take_left_out(small, tmp_path):
    config = small(detector=SETS, backbone="micro", epochs=1)
    taken = {choice.name for choice in every_recipe(config)}
    assert taken == set(RECIPES) - {
        *("ohem", "libra", "gfl", "seesaw", "max_iou", "atss", "fcos", "tood", "simota", "pixel_ohem")
    }
    choices = [RecipeChoice("random"), RecipeChoice("isr")]
    compared = compare(config, choices, range(1), tmp_path / "out", jobs=1)
    assert [row.recipe for row in compared.rows] == ["random", "isr"]


@pytest.mark.parametrize("detector", [DENSE, SETS])
@pytest.mark.parametrize("recipe", ["random", "hnm"])
def test_every_object_is_recorded_once_an_epoch_by_the_head_that_detects(detector, recipe, small, small_data, tmp_path):
    config = small(detector=detector, backbone="micro", recipe=recipe, record=True)
    run = train(config, tmp_path / "run", progress=False)
    objects = {(r.image_id, place) for r in open_dataset(small_data, "train").records for place in range(len(r.labels))}
    for file in sorted(run.folder.dynamics.iterdir()):
        table = pl.read_parquet(file)
        seen = list(table.select("image_id", "place").iter_rows())
        assert set(seen) == objects
        scores = table["score"].fill_nan(None).drop_nulls()
        assert len(scores) > len(objects) / 2
        assert scores.is_between(0, 1).all()


@pytest.mark.parametrize("recipe", ["random", "hnm"])
def test_recording_changes_nothing_else(recipe, small, tmp_path):
    results = [
        train(
            small(detector=DENSE, backbone="micro", recipe=recipe, record=record),
            tmp_path / str(record),
            progress=False,
        )
        for record in (True, False)
    ]
    assert results[0].metrics == results[1].metrics
    weights = [Path(result.folder.weights).read_bytes() for result in results]
    assert weights[0] == weights[1]
