import dataclasses
import inspect
import typing

from hardmine.cli.app import compare, train
from hardmine.cli.training_options import TRAINING_OPTIONS, given_options
from hardmine.training import TrainingConfig


def test_every_training_option_can_be_given():
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert set(TRAINING_OPTIONS) | {"recipe", "recipe_options", "seed"} == fields
    for command in (train, compare):
        assert set(TRAINING_OPTIONS) < set(inspect.signature(command).parameters)


def test_help_tells_the_type_and_the_default_of_the_configuration():
    hints = typing.get_type_hints(TrainingConfig)
    for name, annotation in TRAINING_OPTIONS.items():
        kind, option = typing.get_args(annotation)
        default = getattr(TrainingConfig(), name)
        assert kind == hints[name] | None
        assert default is None or option.show_default == str(default), name


def test_what_is_not_given_stays_at_its_default():
    assert given_options({"epochs": 3, "lr": None}) == TrainingConfig(epochs=3)
