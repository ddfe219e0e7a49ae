"""aLRP loss: one ranking for scores and boxes."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import ALRP, GIoU, SelfBalance
from hardmine.sampling import All, ALRPWeight

__all__ = ["alrp"]


def alrp(delta: float = 1.0, period: int = 7330) -> Recipe:
    """Scores are ranked by average localisation-recall-precision, and a box counts by the positives ranked below it.

    Args: delta: half the width of the soft step, at least 0.
        period: steps after which the box loss is balanced anew; the authors' is an epoch of COCO at 16 images a step.
    """

    def slots(head: HeadTraits) -> Slots:
        regress = Slot(ALRPWeight(delta), GIoU(), PerPositive(), SelfBalance(period))
        return over_all_samples(head, Slot(All(), ALRP(delta)), regress)

    return Recipe(
        name="alrp",
        on=BEYOND_RPN,
        slots=slots,
        kind="ranking",
        title="Average localisation-recall-precision loss",
        summary="Listwise: high scores must be right and well placed; boxes of highly ranked positives count most.",
        equation="L = 1/|P| Σ_i (N_FP(i) + E(i) + Σ_k E(k) H(s_k - s_i)) / rank(i),   E = (1 - GIoU) / 2 / (1 - τ)",
        paper=Paper(
            "Oksuz, Cam, Akbas, Kalkan",
            "A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in Object Detection",
            "NeurIPS 2020",
            "2009.13592",
        ),
        gain="35.4 (AP loss) → 39.0 AP, RetinaNet R50-500, 100 epochs",
        published=(
            "RetinaNet R50-500, 100 epochs, COCO: AP loss 35.4, aLRP 39.0, with ATSS 41.0",
            "FoveaBox: focal 38.3, AP loss 36.5, aLRP 39.7; Faster R-CNN: 37.8 -> 40.7",
        ),
        differences=(
            "Exact for any delta and without a loop over positives.",
            "The balance is renewed after `period` steps, which should be an epoch of your data.",
            "RoI heads have softmax scores in torchvision; the paper's Faster R-CNN has sigmoid ones.",
            "On YOLO and DETR the scores alone are ranked: the box loss stays the framework's, with its own weight.",
        ),
        parameters={"delta": delta, "period": period},
        tuned={"delta": (0.5, 1.0, 1.5)},
        prior=0.01,
    )
