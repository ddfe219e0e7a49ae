"""α-balanced cross entropy: positives and negatives weigh differently, easy and hard ones do not."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import BalancedCE
from hardmine.recipes.ce import RETINANET
from hardmine.sampling import All

__all__ = ["balanced_ce"]


def balanced_ce(alpha: float = 0.75) -> Recipe:
    """Cross entropy with weight α for positives and 1 - α for negatives.

    Args: alpha: in [0, 1]; .75 was the best of the paper (the best with focal loss is .25).
    """

    def slots(head: HeadTraits) -> Slots:
        normalize = None if head.name == "roi" else PerPositive()
        return over_all_samples(head, Slot(All(), BalancedCE(alpha, head.activation), normalize))

    return Recipe(
        name="balanced_ce",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="α-balanced cross entropy",
        summary="Balances positives against negatives, but not easy samples against hard ones.",
        equation="CE(p_t) = -α_t log p_t,   α_t = α for positives, 1 - α for negatives",
        paper=RETINANET,
        gain="30.2 → 31.1 AP, RetinaNet R50-600",
        published=("RetinaNet R50-600, COCO val: AP 31.1 at α = .75, cross entropy 30.2 (Table 1a)",),
        differences=(
            "The paper has one-stage detectors with sigmoid heads; on softmax heads background takes 1 - α.",
            "On a two-stage detector it weighs the proposals that its framework sampled.",
            "On YOLO positives have the target 1 then, not a soft one; the box loss of YOLO and DETR stays as it is.",
        ),
        parameters={"alpha": alpha},
        tuned={"alpha": (0.25, 0.5, 0.75, 0.9, 0.99)},
        prior=0.01,
    )
