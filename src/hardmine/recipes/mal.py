"""Matchability-aware loss: badly placed positives are told so more plainly."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import MAL
from hardmine.sampling import All

__all__ = ["mal"]


def mal(gamma: float = 1.5) -> Recipe:
    """All samples; the target of a positive is a power of the IoU of its predicted box.

    Args: gamma: of the target and of the negatives' focusing, at least 0.
    """

    def slots(head: HeadTraits) -> Slots:
        return over_all_samples(head, Slot(All(), MAL(gamma), PerPositive()))

    return Recipe(
        name="mal",
        on=BEYOND_RPN,
        slots=slots,
        kind="loss",
        title="Matchability-aware loss",
        summary="Soft: as varifocal loss, but a positive with a bad box is not left alone.",
        equation="positive: -(q^γ log p + (1 - q^γ) log(1 - p));   negative: -p^γ log(1 - p)",
        paper=Paper(
            "Huang, Lu, Cun, Yu, Zhou, Shen",
            "DEIM: DETR with Improved Matching for Fast Convergence",
            "CVPR 2025",
            "2412.04234",
        ),
        gain="54.0 → 54.7 AP, D-FINE-L (with denser matching)",
        published=(
            "COCO, with Dense O2O: D-FINE N 42.8 -> 43.0, L 54.0 -> 54.7, X 55.8 -> 56.5; RT-DETRv2 S 47.9 -> 49.0",
        ),
        differences=(
            "The paper's detectors match one query to one object; here any dense detector's assignment stands.",
            "The box loss is the detector's own, divided by the positives.",
            "On YOLO the quality is what its assigner gives, the alignment of score and IoU, not the IoU alone.",
        ),
        parameters={"gamma": gamma},
        tuned={"gamma": (1.0, 1.5, 2.0)},
        prior=0.01,
    )
