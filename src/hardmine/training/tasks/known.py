"""The tasks that there are, and which of them a configuration is of."""

from hardmine.training.config import TrainingConfig
from hardmine.training.tasks.detection import Detection
from hardmine.training.tasks.segmentation import Segmentation
from hardmine.training.tasks.task import Task

__all__ = ["DETECTION", "SEGMENTATION", "TASKS", "task_of"]

DETECTION, SEGMENTATION = Detection(), Segmentation()
TASKS: dict[str, Task] = {task.name: task for task in (DETECTION, SEGMENTATION)}


def task_of(config: TrainingConfig) -> Task:
    """The task of a configuration."""
    return TASKS[config.task]
