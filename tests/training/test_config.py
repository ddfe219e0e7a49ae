import json
import math
from dataclasses import FrozenInstanceError

import pytest

from hardmine.errors import ConfigError
from hardmine.training import TrainingConfig


def test_json_gives_an_equal_configuration_back():
    config = TrainingConfig(recipe="ohem", recipe_options={"budget": 64}, ema=0.99, epochs=3, clip_norm=None)
    assert TrainingConfig.from_json(config.to_json()) == config


def test_a_configuration_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        TrainingConfig().lr = 1.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batchsize": 4}, "unknown training option 'batchsize'; did you mean batch_size"),
        ({"xyz": 4}, "unknown training option 'xyz'; there are: data, "),
        ({"batch_size": 0}, "batch_size must be from 1 to 65536, got 0"),
        ({"batch_size": 2.5}, "batch_size must be int | None, got 2.5"),
        ({"batch_size": True}, "batch_size must be int | None, got True"),
        ({"lr": "1e-3"}, "lr must be float | None, got '1e-3'"),
        ({"lr": 0}, "lr must be from 1e-09 to 100, got 0"),
        ({"lr": math.nan}, "lr must be from 1e-09 to 100, got nan"),
        ({"ema": -0.1}, "ema must be from 0 to 1, got -0.1"),
        ({"flip_horizontal": 1.1}, "flip_horizontal must be from 0 to 1, got 1.1"),
        ({"epochs": 0}, "epochs must be from 1 to 100000, got 0"),
        ({"seed": -1}, "seed must be from 0 to "),
        ({"precision": "fp8"}, "precision must be one of no, bf16, fp16, got 'fp8'"),
        ({"compile": 1}, "compile must be bool | None, got 1"),
        ({"data": None}, "data must be str, got None"),
        ({"detector": "ultralitics:yolo11n"}, "unknown framework 'ultralitics'; did you mean ultralytics"),
        ({"recipe_options": [1]}, "recipe_options must be "),
        ({"recipe_options": {"f": math}}, "recipe_options must be plain JSON values"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ConfigError) as error:
        TrainingConfig.from_dict(options)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_json_that_is_no_configuration_is_refused(text):
    with pytest.raises(ConfigError, match="training configuration must be"):
        TrainingConfig.from_json(text)


def test_none_stands_for_no_value_and_whole_numbers_for_real_ones():
    config = TrainingConfig.from_dict({"lr": 1, "clip_norm": None, "epochs": None})
    assert config.lr == 1
    assert json.loads(config.to_json())["clip_norm"] is None


@pytest.mark.parametrize(
    ("num_images", "num_processes", "epochs"),
    [(205, 1, 14), (205, 2, 28), (3, 1, 100), (8, 1, 100), (118_000, 8, 6)],
)
def test_epochs_aim_at_a_number_of_steps_within_bounds(num_images, num_processes, epochs):
    assert TrainingConfig(batch_size=8).num_epochs(num_images, num_processes) == epochs


def test_epochs_that_were_asked_for_stay():
    assert TrainingConfig(epochs=3).num_epochs(1000, 1) == 3


def test_from_scratch_learns_faster_unless_a_rate_is_given():
    assert TrainingConfig(weights="none").peak_lr == 2e-3
    assert TrainingConfig(weights="imagenet").peak_lr == 1e-3
    assert TrainingConfig(lr=0.5).peak_lr == 0.5


@pytest.mark.parametrize(
    ("detector", "from_scratch", "pretrained"),
    [("ultralytics:yolo11n", 2e-3, 1e-3), ("transformers:rtdetr_v2", 1e-4, 1e-4), ("rfdetr:nano", 1e-4, 1e-4)],
)
def test_detectors_with_attention_between_queries_learn_at_the_rate_they_were_published_with(
    detector, from_scratch, pretrained
):
    assert TrainingConfig(detector=detector).peak_lr == from_scratch
    assert TrainingConfig(detector=detector, weights="coco").peak_lr == pretrained
    assert TrainingConfig(detector=detector, lr=0.5).peak_lr == 0.5


def test_scenes_are_shown_as_large_as_they_are_to_detectors_made_for_photographs():
    assert TrainingConfig(detector="rfdetr:nano").side == 128
    assert TrainingConfig(detector="rfdetr:nano", image_size=256).side == 256
    assert TrainingConfig(detector="rfdetr:nano", data="elsewhere").side is None
    assert TrainingConfig(detector="fasterrcnn").side is None


def test_losses_that_a_framework_computes_are_not_compiled_unless_asked_for():
    assert TrainingConfig(detector="retinanet").compiles_on("cuda")
    assert not TrainingConfig(detector="retinanet").compiles_on("cpu")
    assert not TrainingConfig(detector="ultralytics:yolo11n").compiles_on("cuda")


def test_scenes_have_small_batches_unless_a_size_is_given():
    assert TrainingConfig(data="scenes").images_per_step == 4
    assert TrainingConfig(data="elsewhere").images_per_step == 8
    assert TrainingConfig(data="scenes", batch_size=7).images_per_step == 7
    assert TrainingConfig(data="scenes").steps_per_epoch(480, 2) == 60


def test_digits_are_not_mirrored_unless_asked_for():
    assert TrainingConfig(data="scenes").flips == (0.0, 0.0)
    assert TrainingConfig(data="elsewhere", flip_vertical=0.3).flips == (0.5, 0.3)
    assert TrainingConfig(data="scenes", flip_horizontal=0.2).flips == (0.2, 0.0)
