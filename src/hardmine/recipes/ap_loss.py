"""AP loss: average precision itself, as the classification loss."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import APLoss
from hardmine.sampling import All

__all__ = ["ap_loss"]


def ap_loss(delta: float = 1.0, interpolated: bool = True) -> Recipe:
    """All scores of the batch ranked against each other.

    Args: delta: half the width of the soft step, at least 0.  interpolated: of precision, its running maximum.
    """

    def slots(head: HeadTraits) -> Slots:
        return over_all_samples(head, Slot(All(), APLoss(delta, interpolated)))

    return Recipe(
        name="ap_loss",
        on=BEYOND_RPN,
        slots=slots,
        kind="ranking",
        title="AP loss",
        summary="Listwise: a negative counts as far as it stands above positives; no class balance to tune.",
        equation="L = 1/|P| Σ_i Σ_j H(s_j - s_i) / rank(i) = 1 - AP",
        paper=Paper(
            "Chen, Li, Lin, See, Wang, Duan, Chen, He, Zou",
            "Towards Accurate One-Stage Object Detection with AP-Loss",
            "CVPR 2019",
            "1904.06373",
        ),
        gain="RetinaNet R50-500, 100 epochs: 35.4 AP",
        published=(
            "RetinaNet R101, COCO test-dev: AP 37.4; R50-500 for 100 epochs: 35.4 (as reported by aLRP)",
            "FoveaBox: AP loss 36.5, focal loss 38.3; ATSS R50 for 12 epochs: 38.3",
        ),
        differences=(
            "Exact for any delta and without a loop over positives.",
            "Scores are ranked over the batch of each process.",
            "The box loss is the detector's own, divided by the positives; smooth L1 in the paper.",
        ),
        parameters={"delta": delta, "interpolated": interpolated},
        tuned={"delta": (0.25, 0.5, 1.0, 1.5, 2.0), "interpolated": (True, False)},
        prior=0.01,
    )
