"""α-balanced cross entropy: positives and negatives weigh differently, easy and hard ones do not."""

from hardmine.losses import BalancedCE
from hardmine.normalize import PerPositive
from hardmine.recipes.ce import RETINANET
from hardmine.recipes.recipe import HeadTraits, Recipe, Slot, Slots
from hardmine.sampling import All

__all__ = ["balanced_ce"]


def balanced_ce(alpha: float = 0.75) -> Recipe:
    """Cross entropy with weight α for positives and 1 - α for negatives.

    Args: alpha: in [0, 1]; .75 was the best of the paper (the best with focal loss is .25).
    """

    def slots(head: HeadTraits) -> Slots:
        if head.name == "rpn":
            return {}
        loss = BalancedCE(alpha, head.activation)
        if head.name == "roi":
            return {"classify": Slot(loss=loss)}
        dense = Slot(All(), loss, PerPositive())
        return {"select": Slot(All()), "classify": dense, "regress": Slot(normalize=PerPositive())}

    return Recipe(
        name="balanced_ce",
        slots=slots,
        title="α-balanced cross entropy",
        summary="Balances positives against negatives, but not easy samples against hard ones.",
        equation="CE(p_t) = -α_t log p_t,   α_t = α for positives, 1 - α for negatives",
        paper=RETINANET,
        published=("RetinaNet R50-600, COCO val: AP 31.1 at α = .75, cross entropy 30.2 (Table 1a)",),
        differences=(
            "The paper has one-stage detectors with sigmoid heads; on softmax heads background takes 1 - α.",
            "On a two-stage detector it weighs the proposals that its framework sampled.",
        ),
        parameters={"alpha": alpha},
        prior=0.01,
    )
