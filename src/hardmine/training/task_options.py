"""What each task makes of a configuration: the detector that it has by default, and the options that are not its own.

What is done for a task is in `tasks/`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hardmine.data.label_errors import parse_shares
from hardmine.data.segmentation.label_errors import parse_mask_shares

__all__ = ["TASK_OPTIONS", "TaskOptions"]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """detector: the default.  side: of what is shown in training, in pixels; None: as the detector has it.

    refused: options that must stay at their defaults, and why.  check_label_errors: raises ConfigError.
    """

    detector: str
    side: int | None
    refused: Mapping[str, str]
    check_label_errors: Callable[[str], object]


_OF_BOXES = "is of boxes; leave it out, or take --task detection"
_OF_MASKS = "is of masks; add --task segmentation, or leave it out"

TASK_OPTIONS: dict[str, TaskOptions] = {
    "detection": TaskOptions("fasterrcnn", None, {"classes": _OF_MASKS, "instances": _OF_MASKS}, parse_shares),
    "segmentation": TaskOptions(
        "lraspp",
        256,
        {
            **dict.fromkeys(
                ("proposals", "allow_unlabelled", "record", "reassign", "augment_from", "augment", "repeat_factors"),
                _OF_BOXES,
            ),
            "crop": "is of boxes; images with masks are always cut, to image_size",
        },
        parse_mask_shares,
    ),
}
