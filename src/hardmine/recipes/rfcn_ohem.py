"""OHEM as R-FCN has it: one pass, no NMS."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slots
from hardmine.recipes.ohem import mined
from hardmine.sampling import OHEM

__all__ = ["rfcn_ohem"]


def rfcn_ohem(budget: int = 128) -> Recipe:
    """The ``budget`` samples of each image with the largest classification + box loss.

    Args: budget: samples an image keeps.
    """

    def slots(head: HeadTraits) -> Slots:
        return mined(OHEM(budget, nms_iou=None), head)

    return Recipe(
        name="rfcn_ohem",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="OHEM in R-FCN's form",
        summary="Hard: every image trains on its worst samples; without NMS, and with twice as many as the original.",
        equation="w_i = 1 for the 128 samples of largest ℓ_cls + ℓ_loc of an image, else 0",
        paper=Paper(
            "Dai, Li, He, Sun",
            "R-FCN: Object Detection via Region-based Fully Convolutional Networks",
            "NeurIPS 2016",
            "1605.06409",
        ),
        gain="76.6 → 79.5 mAP, R-FCN R101, VOC07",
        published=("VOC07 test, R-FCN trained on 07+12: R50 77.4 (five runs 77.1 to 77.9), R101 79.5; without 76.6",),
        differences=(
            "Two passes through the RoI head; R-FCN's head has no parameters of its own, so mining is free there.",
            "Boxes are divided by the samples kept; the authors divide by 256, which is the same at two images.",
            "On YOLO and DETR the framework's losses are mined, and divided by its count of positives, kept or not.",
        ),
        parameters={"budget": budget},
        tuned={"budget": (64, 128, 256)},
    )
