"""Assignment by largest IoU with fixed thresholds, RetinaNet's own, on any detector: on points as well."""

from hardmine.assign import Assigner, MaxIoU
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe
from hardmine.recipes.ce import RETINANET

__all__ = ["max_iou"]

ANCHOR_STRIDES = 8.0  # side of the squares that points are compared as, those of ATSS's paper


def max_iou(positive_iou: float = 0.5, negative_iou: float = 0.4) -> Recipe:
    """Positives overlap an object enough, or more than any other sample does.

    Args: positive_iou: from which a sample is an object's.  negative_iou: below which it is background; between the two
        it is ignored.
    """

    def assign(head: HeadTraits) -> Assigner | None:
        squares = None if "boxes" in head.evidence else ANCHOR_STRIDES
        return MaxIoU(positive_iou, negative_iou, force_match="keep", box_strides=squares)

    return Recipe(
        name="max_iou",
        on=BEYOND_RPN,
        assign=assign,
        kind="assignment",
        title="Assignment by largest IoU",
        summary="Assignment: fixed thresholds on the IoU of a sample and its nearest object, and each object's best.",
        equation="positive: IoU ≥ .5, or the largest that an object has;   background: IoU < .4;   between: ignored",
        paper=RETINANET,
        gain="37.0 AP, RetinaNet R50 with one anchor; with points in its place 36.9 (ATSS, Table 2)",
        published=("COCO, R50, as measured by ATSS: 37.0 regressing from anchors, 36.9 from points",),
        differences=(
            "On RetinaNet it is the detector's own.",
            "The points of FCOS and YOLO are compared as squares of 8 strides, the anchors of ATSS's paper, and belong "
            "only to objects that they lie in.",
            "On a RoI head proposals between the thresholds are ignored, and each object has its best one.",
            "On YOLO the positives' target is 1, not the soft one of its own assigner; DETR keeps its matching.",
        ),
        parameters={"positive_iou": positive_iou, "negative_iou": negative_iou},
        tuned={"positive_iou": (0.4, 0.5, 0.6)},
    )
