"""Libra R-CNN's sampling of positives alone: every object has its share of them."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe, Slots
from hardmine.recipes.libra import LIBRA_PAPER
from hardmine.recipes.ohem import mined
from hardmine.sampling import Combined, InstanceBalanced, Random

__all__ = ["instance_balanced"]


def instance_balanced(budget: int | None = None, positive_fraction: float = 0.25) -> Recipe:
    """Equally many positives of each object, random negatives, and the detector's own losses.

    Args: budget: proposals an image keeps; None: as many as its framework samples, or 512 of a
            one-stage detector.
        positive_fraction: the most positives kept, as a share of the budget.
    """

    def slots(head: HeadTraits) -> Slots:
        places = budget or head.budget or 512
        return mined(Combined(InstanceBalanced(), Random(), places, positive_fraction), head)

    return Recipe(
        name="instance_balanced",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="Instance-balanced positives",
        summary="Hard: positives of every object alike, so that one with many proposals does not crowd out the others.",
        equation="p_g = (N/G) · 1/M_g for positives of object g of G, with M_g candidates",
        paper=LIBRA_PAPER,
        gain="35.9 → 36.1 AP, Faster R-CNN R50-FPN",
        published=("Faster R-CNN R50-FPN, COCO val: 35.9 -> 36.1 by balanced positives alone",),
        differences=(
            "On a dense detector: anchors are sampled so, with cross entropy divided by the samples kept.",
            "`libra` has this, IoU-balanced negatives and the balanced L1 loss together; here the box loss stays. Both "
            "samplings without that loss: `iou_balanced` with `balanced_positives`.",
        ),
        parameters={"budget": budget, "positive_fraction": positive_fraction},
        tuned={"positive_fraction": (0.25, 0.5)},
    )
