"""Libra R-CNN's sampling and box loss: every IoU and every object has its share, and easy boxes are heard."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.losses import BalancedL1
from hardmine.sampling import Combined, InstanceBalanced, IoUBalanced

__all__ = ["LIBRA_PAPER", "libra"]

LIBRA_PAPER = Paper(
    "Pang, Chen, Shi, Feng, Ouyang, Lin",
    "Libra R-CNN: Towards Balanced Learning for Object Detection",
    "CVPR 2019",
    "1904.02701",
)


def libra(
    budget: int | None = None,
    bins: int = 3,
    alpha: float = 0.5,
    gamma: float = 1.5,
    positive_fraction: float = 0.25,
    negatives_per_positive: float | None = None,
    objects_as_proposals: bool = True,
) -> Recipe:
    """IoU-balanced negatives, instance-balanced positives, and the balanced L1 loss.

    Args: budget: proposals an image keeps; None: as many as its framework samples.
        bins: equal intervals of the negatives' IoU, each with the same share.
        alpha, gamma: of the balanced L1 loss: gradient of small errors and its bound, above 0.
        positive_fraction: the most positives kept, as a share of the budget.
        negatives_per_positive: where given, the most negatives kept for each positive that is.
        objects_as_proposals: whether a RoI head also trains on the boxes of the objects themselves.
    """

    def slots(head: HeadTraits) -> Slots:
        if head.name != "roi":
            return {"regress": Slot(loss=BalancedL1(alpha, gamma))}
        parts, places = (InstanceBalanced(), IoUBalanced(bins=bins)), budget or head.budget or 512
        sampling = Combined(*parts, places, positive_fraction, negatives_per_positive)
        return {"select": Slot(sampling), "regress": Slot(loss=BalancedL1(alpha, gamma))}

    return Recipe(
        name="libra",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="Libra R-CNN: balanced sampling and balanced L1",
        summary="Hard: negatives of every IoU interval and positives of every object alike; small box errors gain.",
        equation="p_k = (N/K) · 1/M_k for negatives of IoU interval k;   ∂ℓ_box/∂d = α ln(b|d| + 1) below 1, γ beyond",
        paper=LIBRA_PAPER,
        gain="35.9 → 36.8 AP by the negatives' sampling, Faster R-CNN R50-FPN",
        published=(
            "Faster R-CNN R50-FPN, COCO val: 35.9 -> 36.8 (IoU-balanced) -> 37.7 (+ feature pyramid) -> 38.5 (+ BL1)",
            "balanced positives alone: 35.9 -> 36.1; K = 2, 3, 5 bins: 36.7, 36.8, 36.7",
            "RetinaNet R50, COCO test-dev: 35.8 -> 37.8 (feature pyramid and balanced L1)",
        ),
        differences=(
            "Without the balanced feature pyramid: it changes the network, not what is learnt from which sample.",
            "Intervals end at the negatives' threshold (.5), as the paper draws them; mmdetection ends them at the "
            "largest IoU there is.",
            "The RPN keeps its own sampling (mmdetection bounds its negatives by 5 a positive).",
            "On a dense detector only the box loss is set: there is nothing to sample. So nothing is left of it where "
            "a framework keeps its box loss (YOLO, DETR).",
        ),
        objects_as_proposals=objects_as_proposals,
        parameters={
            "budget": budget,
            "bins": bins,
            "alpha": alpha,
            "gamma": gamma,
            "positive_fraction": positive_fraction,
            "negatives_per_positive": negatives_per_positive,
            "objects_as_proposals": objects_as_proposals,
        },
        tuned={"alpha": (0.2, 0.3, 0.5, 1.0), "gamma": (1.0, 1.5, 2.0), "bins": (2, 3, 5)},
    )
