"""Rank & Sort loss: positives above negatives, and among themselves by the quality of their boxes."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import EqualTasks, GIoU, RankSort
from hardmine.sampling import All

__all__ = ["rs_loss"]


def rs_loss(delta: float = 0.5) -> Recipe:
    """Scores are ranked and sorted, and the box loss is made as large as the classification loss.

    Args: delta: half the width of the soft step, at least 0.
    """

    def slots(head: HeadTraits) -> Slots:
        regress = Slot(All(), GIoU(), PerPositive(), EqualTasks())
        return over_all_samples(head, Slot(All(), RankSort(delta)), regress)

    return Recipe(
        name="rs_loss",
        on=BEYOND_RPN,
        slots=slots,
        kind="ranking",
        title="Rank & Sort loss",
        summary="Listwise: no sampling, no class balance, no loss weights; the better the box, the higher the score.",
        equation="ℓ(i) = N_FP(i) / rank(i) + Σ_j H(s_j - s_i) (1 - y_j) / rank⁺(i), minus its target",
        paper=Paper(
            "Oksuz, Cam, Akbas, Kalkan",
            "Rank & Sort Loss for Object Detection and Instance Segmentation",
            "ICCV 2021",
            "2107.11669",
        ),
        gain="39.6 AP (about +3), Faster R-CNN R50-FPN; ATSS 39.9",
        published=(
            "COCO, R50, 12 epochs: Faster R-CNN 39.6, Cascade 41.3, ATSS 39.9, PAA 41.0",
            "LVIS Mask R-CNN: 25.2 mask AP (+3.5)",
        ),
        differences=(
            "Exact for any delta; positives are compared with each other in blocks, negatives never one by one.",
            "RoI heads have softmax scores in torchvision; the paper's Faster R-CNN has sigmoid ones.",
            "On YOLO and DETR the scores alone are ranked: the box loss stays the framework's, with its own weight.",
        ),
        parameters={"delta": delta},
        tuned={"delta": (0.25, 0.5, 0.75, 1.0)},
        prior=0.01,
    )
