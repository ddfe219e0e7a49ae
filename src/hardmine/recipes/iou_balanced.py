"""Libra R-CNN's balanced sampling without its box loss: negatives of every IoU, and if asked for of every object."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe, Slots
from hardmine.recipes.libra import LIBRA_PAPER
from hardmine.recipes.ohem import mined
from hardmine.sampling import Combined, InstanceBalanced, IoUBalanced, Random

__all__ = ["iou_balanced"]


def iou_balanced(
    budget: int | None = None, bins: int = 3, positive_fraction: float = 0.25, balanced_positives: bool = False
) -> Recipe:
    """Equally many negatives of each interval of their IoU, random positives, and the detector's own losses.

    Args: budget: proposals an image keeps; None: as many as its framework samples, or 512 of a
            one-stage detector.
        bins: equal intervals of the negatives' IoU, each with the same share.
        positive_fraction: the most positives kept, as a share of the budget.
        balanced_positives: whether positives are instance-balanced as well: both halves of Libra R-CNN's sampling.
    """

    def slots(head: HeadTraits) -> Slots:
        positives = InstanceBalanced() if balanced_positives else Random()
        places = budget or head.budget or 512
        return mined(Combined(positives, IoUBalanced(bins=bins), places, positive_fraction), head)

    return Recipe(
        name="iou_balanced",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="IoU-balanced negatives",
        summary="Hard: negatives of every IoU interval alike, since those that overlap an object are the hard ones.",
        equation="p_k = (N/K) · 1/M_k for negatives of IoU interval k of K, with M_k candidates",
        paper=LIBRA_PAPER,
        gain="35.9 → 36.8 AP, Faster R-CNN R50-FPN",
        published=(
            "Faster R-CNN R50-FPN, COCO val: 35.9 -> 36.8; K = 2, 3, 5 bins: 36.7, 36.8, 36.7",
            "claimed of balanced sampling as a whole: about a point, at no cost",
        ),
        differences=(
            "On a dense detector: anchors are sampled so, with cross entropy divided by the samples kept.",
            "`libra` has this, instance-balanced positives and the balanced L1 loss together; here the box loss stays.",
            "Intervals end at the negatives' threshold (.5), as the paper draws them; mmdetection ends them at the "
            "largest IoU there is.",
        ),
        parameters={
            "budget": budget,
            "bins": bins,
            "positive_fraction": positive_fraction,
            "balanced_positives": balanced_positives,
        },
        tuned={"bins": (2, 3, 5)},
    )
