"""Equalized focal loss: each class has its own focusing."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import CrossEntropy
from hardmine.sampling import EFL

__all__ = ["efl"]


def efl(gamma: float = 2.0, alpha: float = 0.25, scale: float = 8.0) -> Recipe:
    """Focal loss whose γ grows for classes that receive little positive gradient.

    Args: gamma: of a balanced class, above 0.  alpha: weight of positives, in [0, 1].
        scale: most by which γ of a class grows.
    """

    def slots(head: HeadTraits) -> Slots:
        weights = EFL(head.num_classes, gamma, alpha, scale)
        return over_all_samples(head, Slot(weights, CrossEntropy("sigmoid"), PerPositive()))

    return Recipe(
        name="efl",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="Equalized focal loss",
        summary="Soft: focal loss that follows how far each class is from balance.",
        equation="EFL = -α_t γ_j/γ (1 - p_t)^γ_j log p_t,   γ_j = γ + s (1 - g_j), g_j the class's ratio of gradients",
        paper=Paper(
            "Li, Yao, Tan, Zhang, Yu, Lu, Luo",
            "Equalized Focal Loss for Dense Long-Tailed Object Detection",
            "CVPR 2022",
            "2201.02593",
        ),
        gain="27.5 AP, LVIS, one-stage R50",
        published=("LVIS, one-stage: R50 27.5 (rare 20.2), R101 29.2; YOLOX-M 30.0",),
        differences=(
            "Finite at any logit, where the authors' code gives infinities.",
            "The box loss is the detector's own, divided by the positives.",
        ),
        parameters={"gamma": gamma, "alpha": alpha, "scale": scale},
        tuned={"scale": (2.0, 4.0, 8.0, 12.0), "gamma": (1.0, 1.5, 2.0), "alpha": (0.25, 0.5)},
        prior=0.01,
    )
