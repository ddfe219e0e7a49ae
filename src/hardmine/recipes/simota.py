"""SimOTA: each object takes as many samples as it has good predictions, at the least cost."""

from hardmine.assign import SimOTA
from hardmine.equation.recipe import BEYOND_RPN, Paper, Recipe

__all__ = ["simota"]


def simota(center_radius: float = 2.5, candidates: int = 10, iou_weight: float = 3.0) -> Recipe:
    """Positives are the samples of least classification and box cost near an object's centre.

    Args: center_radius: in strides.  candidates: best predictions whose IoUs add up to the number of positives.
        iou_weight: of -log IoU in the cost.
    """

    return Recipe(
        name="simota",
        on=BEYOND_RPN,
        assign=lambda _: SimOTA(center_radius, candidates, iou_weight),
        kind="assignment",
        title="SimOTA",
        summary="Assignment: by what the detector predicts, with a number of positives of each object's own.",
        equation="cost = BCE + λ (-log IoU);   k = ⌊Σ of the 10 largest IoU⌋, at least 1, of least cost",
        paper=Paper("Ge, Liu, Wang, Li, Sun", "YOLOX: Exceeding YOLO Series in 2021", "arXiv 2021", "2107.08430"),
        gain="45.0 → 47.3 AP, YOLOX-DarkNet53",
        published=("COCO, YOLOX-DarkNet53: 45.0 -> 47.3 by this assignment",),
        differences=(
            "Only the assignment is set: losses stay the detector's own (YOLOX has an objectness branch beside them).",
            "The class cost takes the class score as it is; YOLOX multiplies it by objectness.",
            "On YOLO the positives' target is 1, not the soft one of its own assigner; DETR keeps its matching.",
        ),
        parameters={"center_radius": center_radius, "candidates": candidates, "iou_weight": iou_weight},
        tuned={"center_radius": (1.5, 2.5, 3.5), "candidates": (5, 10, 15, 20), "iou_weight": (1.0, 3.0, 5.0)},
    )
