"""FCOS's points: a place belongs to the smallest object whose middle it lies in."""

from hardmine.assign import FCOSPoints
from hardmine.equation.recipe import BEYOND_RPN, Paper, Recipe

__all__ = ["fcos"]


def fcos(radius: float = 1.5) -> Recipe:
    """Positives are what lies near an object's centre, on the level of the object's size.

    Args: radius: of the centre region, in strides.
    """

    return Recipe(
        name="fcos",
        on=BEYOND_RPN,
        assign=lambda _: FCOSPoints(radius),
        kind="assignment",
        title="FCOS's assignment",
        summary="Assignment: by place and size, without any IoU.",
        equation="positive: inside, within radius · stride of the centre, and 4 to 8 strides large",
        paper=Paper(
            "Tian, Shen, Chen, He", "FCOS: Fully Convolutional One-Stage Object Detection", "ICCV 2019", "1904.01355"
        ),
        gain="37.0 → 37.8 AP, RetinaNet R50 with one anchor (ATSS, Table 2)",
        published=("COCO, R50, as measured by ATSS: IoU assignment 37.0, this one 37.8 with the same box regression",),
        differences=(
            "Only the assignment is set; on FCOS it is the detector's own.",
            "Anchors that share a centre share their object.",
            "On YOLO the positives' target is 1, not the soft one of its own assigner; DETR keeps its matching.",
        ),
        parameters={"radius": radius},
        tuned={"radius": (1.0, 1.5, 2.0)},
    )
