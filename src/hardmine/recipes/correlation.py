"""Correlation loss: scores should rise and fall with the quality of their boxes."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.losses import Correlation

__all__ = ["correlation"]


def correlation(weight: float = 0.2) -> Recipe:
    """The detector's own losses, and one minus the correlation of score and IoU over the positives.

    Args: weight: of the addition.
    """

    def slots(head: HeadTraits) -> Slots:
        return {"classify": Slot(also=Correlation(weight=weight, activation=head.activation))}

    return Recipe(
        name="correlation",
        on=BEYOND_RPN,
        slots=slots,
        kind="ranking",
        title="Correlation loss",
        summary="Listwise, beside the detector's own losses: ties the score to the quality of the box.",
        equation="L + λ (1 - ρ(score, IoU)), over positives",
        paper=Paper(
            "Kahraman, Oksuz, Kalkan, Akbas",
            "Correlation Loss: Enforcing Correlation between Classification and Localization",
            "AAAI 2023",
            "2301.01019",
        ),
        gain="up to +1.6 AP, COCO",
        published=("COCO: up to +1.6 AP; Cityscapes: up to +1.8 (abstract)",),
        differences=("The concordance coefficient by default; the paper also has Spearman's.",),
        parameters={"weight": weight},
        tuned={"weight": (0.1, 0.2, 0.3, 0.5)},
    )
