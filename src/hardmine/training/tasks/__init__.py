"""What a task is: detection of objects by boxes, or segmentation, a class for every pixel.

`task_of(config)` gives everything about a training that depends on which it is; nothing else asks for its name.
"""

from hardmine.training.config import TrainingConfig
from hardmine.training.tasks.detection import Detection
from hardmine.training.tasks.segmentation import Segmentation
from hardmine.training.tasks.task import Asked, Task

__all__ = ["DETECTION", "SEGMENTATION", "TASKS", "Asked", "Task", "task_of"]

DETECTION, SEGMENTATION = Detection(), Segmentation()
TASKS: dict[str, Task] = {task.name: task for task in (DETECTION, SEGMENTATION)}


def task_of(config: TrainingConfig) -> Task:
    """The task of a configuration."""
    return TASKS[config.task]
