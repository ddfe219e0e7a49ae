"""Every configuration has a task."""

from hardmine.training import TrainingConfig
from hardmine.training.task_options import TASK_OPTIONS
from hardmine.training.tasks import DETECTION, SEGMENTATION, TASKS, task_of


def test_every_task_is_a_choice_of_the_configuration():
    assert set(TASKS) == set(TASK_OPTIONS)
    assert [task_of(TrainingConfig(task=name)) for name in TASKS] == [DETECTION, SEGMENTATION]
