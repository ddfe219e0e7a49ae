"""Equalization loss v2: each class balances the gradients it receives."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import CrossEntropy
from hardmine.sampling import EQLv2

__all__ = ["eqlv2"]


def eqlv2(gamma: float = 12.0, mu: float = 0.8, alpha: float = 4.0) -> Recipe:
    """Positives of a class are raised and its negatives lowered while it has received more negative gradient.

    Args: gamma, mu: slope and middle of the weight over the ratio of gradients.  alpha: most by which positives rise.
    """

    def slots(head: HeadTraits) -> Slots:
        weights = EQLv2(head.num_classes, gamma, mu, alpha)
        return over_all_samples(head, Slot(weights, CrossEntropy("sigmoid"), PerPositive()))

    return Recipe(
        name="eqlv2",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="Equalization loss v2",
        summary="Soft: rare classes are not drowned by the negatives that all other classes are to them.",
        equation="w⁺ = 1 + α (1 - f(r)), w⁻ = f(r),   f = σ(γ (r - μ)), r = Σ|∂⁺| / Σ|∂⁻| of the class so far",
        paper=Paper(
            "Tan, Lu, Zhang, Yin, Li",
            "Equalization Loss v2: A New Gradient Balance Approach for Long-tailed Object Detection",
            "CVPR 2021",
            "2012.08548",
        ),
        gain="16.1 → 23.7 AP, LVIS, Mask R-CNN R50",
        published=("LVIS, Mask R-CNN R50: cross entropy 16.1, EQL 18.6, EQL v2 23.7",),
        differences=(
            "The paper's R-CNN head has sigmoid scores; torchvision's has softmax ones, so this is for heads of "
            "sigmoid scores: one-stage detectors, YOLO and most DETRs.",
            "Gradients are summed over all ranks.",
        ),
        parameters={"gamma": gamma, "mu": mu, "alpha": alpha},
        tuned={"gamma": (8.0, 12.0, 16.0), "mu": (0.7, 0.8, 0.9), "alpha": (2.0, 4.0, 6.0)},
        prior=0.01,
    )
