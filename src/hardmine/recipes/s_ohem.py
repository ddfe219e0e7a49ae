"""Stratified OHEM: hard examples of every kind."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slots
from hardmine.recipes.ohem import mined
from hardmine.sampling import SOHEM

__all__ = ["s_ohem"]


def s_ohem(budget: int = 64) -> Recipe:
    """The hardest samples of each of four strata, by how much of their loss comes from the class.

    Args: budget: samples an image keeps.
    """

    def slots(head: HeadTraits) -> Slots:
        return mined(SOHEM(budget), head)

    return Recipe(
        name="s_ohem",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="Stratified online hard example mining",
        summary="Hard: every image trains on its worst samples, be it their class or their box that is wrong.",
        equation="w_i = 1 for the B/4 samples of largest ℓ_cls + ℓ_loc in each stratum of ℓ_cls / (ℓ_cls + ℓ_loc)",
        paper=Paper(
            "Li, Zhang, Yu, Chen, Li",
            "S-OHEM: Stratified Online Hard Example Mining for Object Detection",
            "CCCV 2017",
            "1705.02233",
        ),
        gain="+.3 % to +.5 % mAP (relative) on VOC07 over OHEM",
        published=("mAP relative to OHEM: VOC07 +.3 % and +.5 %, KITTI +1 % and +.5 %, of the size of a seed's noise",),
        differences=(
            "The text that we have defines four strata by the ratio of the two losses, no more: edges and equal shares "
            "are ours, and they stay, where the paper changes its quotas during training.",
            "Without OHEM's NMS, of which that text says nothing.",
            "On YOLO and DETR the framework's losses are mined, and divided by its count of positives, kept or not.",
        ),
        parameters={"budget": budget},
        tuned={"budget": (64, 128, 256)},
    )
