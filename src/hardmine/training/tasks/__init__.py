"""What a task is: detection of objects by boxes, or segmentation, a class for every pixel.

`task_of(config)` gives everything about a training that depends on which it is; nothing else asks for its name.
"""

from hardmine.training.tasks.known import DETECTION, SEGMENTATION, TASKS, task_of
from hardmine.training.tasks.task import Asked, Task

__all__ = ["DETECTION", "SEGMENTATION", "TASKS", "Asked", "Task", "task_of"]
