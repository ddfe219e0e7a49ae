"""ATSS: each object's own IoU threshold."""

from hardmine.assign import ATSS, Assigner
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe

__all__ = ["atss"]

ANCHOR_STRIDES = 8.0  # side of the paper's anchors; what a point is compared as


def atss(k: int = 9) -> Recipe:
    """Positives are the candidates near an object's centre whose IoU is above their mean plus standard deviation.

    Args: k: candidates on each level of the pyramid.
    """

    def assign(head: HeadTraits) -> Assigner | None:
        return ATSS(k, box_strides=None if "boxes" in head.evidence else ANCHOR_STRIDES)

    return Recipe(
        name="atss",
        on=BEYOND_RPN,
        assign=assign,
        kind="assignment",
        title="Adaptive training sample selection",
        summary="Assignment: which anchors are positive follows each object's own statistics, not a fixed threshold.",
        equation="positive: IoU ≥ mean + std of the k nearest anchors of each level, centre inside",
        paper=Paper(
            "Zhang, Chi, Yao, Lei, Li",
            "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training Sample Selection",
            "CVPR 2020",
            "1912.02424",
        ),
        gain="37.0 → 39.3 AP, RetinaNet R50 with one anchor",
        published=("COCO, R50: RetinaNet (one anchor, FCOS's improvements) 37.0 -> 39.3, FCOS 37.8 -> 39.2",),
        differences=(
            "Only the assignment is set: losses and weights stay the detector's own, so a comparison is of t alone.",
            "The points of FCOS and YOLO are compared as squares of 8 strides, the paper's anchors.",
            "Where several anchors share a centre, k times as many are candidates on each level.",
            "On YOLO the positives' target is 1, not the soft one of its own assigner; DETR keeps its matching.",
        ),
        parameters={"k": k},
        tuned={"k": (5, 7, 9, 11, 13, 17)},
    )
