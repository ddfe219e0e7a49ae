"""Options that a task refuses are options, and what it has by default passes its own checks."""

from dataclasses import fields

import pytest

from hardmine.errors import ConfigError
from hardmine.training import TrainingConfig
from hardmine.training.task_options import TASK_OPTIONS

NAMES = {option.name for option in fields(TrainingConfig)}


@pytest.mark.parametrize("task", TASK_OPTIONS)
def test_what_is_refused_is_an_option(task):
    assert set(TASK_OPTIONS[task].refused) <= NAMES
    assert TrainingConfig(task=task).detector == TASK_OPTIONS[task].detector


@pytest.mark.parametrize(("task", "shares"), [("detection", "grown=.1"), ("segmentation", "spurious=.1")])
def test_each_task_has_its_own_kinds_of_label_errors(task, shares):
    with pytest.raises(ConfigError, match="each kind once, of dropped, shifted"):
        TrainingConfig(task=task, label_errors=shares)
    TrainingConfig(task=task, label_errors="dropped=.2,swapped=.1")


def test_a_configuration_of_before_there_were_tasks_is_one_of_detection():
    stored = TrainingConfig.from_dict({"detector": "retinanet", "data": "scenes"})
    assert (stored.task, stored.classes, stored.instances) == ("detection", None, False)
