"""Generalised focal loss: qualities as targets of scores and as weights of boxes."""

from hardmine.equation.normalize import PerPositive, PerQuality
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import QFL, GIoU
from hardmine.recipes.qfl import GFL_PAPER
from hardmine.sampling import All, QualityWeight

__all__ = ["gfl"]


def gfl(beta: float = 2.0, box_weight: float = 2.0) -> Recipe:
    """Quality focal loss, and GIoU weighted by the quality.

    Args: beta: focusing, at least 0.  box_weight: λ0, of the box loss.
    """

    def slots(head: HeadTraits) -> Slots:
        regress = Slot(QualityWeight(), GIoU(), PerQuality(), scale=box_weight)
        classify = Slot(All(), QFL(beta), PerPositive())
        if head.is_framework:  # without its box loss it would be `qfl`
            return {"classify": classify, "regress": regress}
        return over_all_samples(head, classify, regress)

    return Recipe(
        name="gfl",
        on=BEYOND_RPN,
        slots=slots,
        kind="loss",
        title="Generalised focal loss",
        summary="Soft: scores say how good their boxes are, and good boxes are refined most.",
        equation="L = 1/N_pos Σ QFL + λ0 / Σy · Σ_pos y ℓ_GIoU,   y = IoU",
        paper=GFL_PAPER,
        gain="39.2 → 40.2 AP with DFL, ATSS R50",
        published=("COCO, ATSS R50: 39.2 -> QFL 39.9, DFL 39.5, both 40.2",),
        differences=(
            "Without the distribution focal loss: torchvision's heads predict four numbers a box, not a distribution "
            "of each. `hardmine.losses.DFL` is there for a head that does.",
            "Boxes weigh by their IoU; the authors' code takes the largest score.",
            "Boxes are divided by the sum of their weights, as in the authors' code; in the paper by the positives.",
            "On YOLO and DETR, which keep their box loss, take `qfl`: it is what would be left.",
        ),
        parameters={"beta": beta, "box_weight": box_weight},
        tuned={"beta": (0.0, 1.0, 2.0, 2.5, 4.0), "box_weight": (1.0, 2.0, 4.0)},
        prior=0.01,
    )
