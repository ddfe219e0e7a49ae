"""The symmetric remedy on a detector: objects that mining found missed get more positives in every head."""

from hardmine.assign import WithClosest
from hardmine.assign.closest import MIN_IOU
from hardmine.detectors.detector import Detector
from hardmine.equation.head import Head
from hardmine.errors import ConfigError

__all__ = ["reassign_missed"]


def reassign_missed(detector: Detector, k: int, min_iou: float = MIN_IOU) -> None:
    """Makes the k closest anchors, and proposals, of each missed object positive as well, see `WithClosest`.

    Which objects were missed, the targets say: ``missed`` (G,). What a recipe has chosen for the heads stays.

    Args: k, min_iou: as in `WithClosest`.
    Raises: ConfigError: a detector whose framework assigns by itself, a head that does not assign by the IoU of boxes,
        or a number out of its range; nothing was changed.
    """
    heads = [head for head in detector.modules() if isinstance(head, Head)]
    if not heads:
        raise ConfigError(
            f"{type(detector).__name__}: its framework assigns by itself, so missed objects cannot be re-assigned; "
            "choose a detector of torchvision, or do without"
        )
    with_closest = [WithClosest(head.assigner, k, min_iou) for head in heads]
    for head, assigner in zip(heads, with_closest, strict=True):
        head.assigner = assigner
