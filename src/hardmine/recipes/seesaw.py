"""Seesaw loss: frequent classes press less on rare ones."""

from hardmine.equation.normalize import PerValid
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.losses import Seesaw

__all__ = ["seesaw"]


def seesaw(p: float = 0.8, q: float = 2.0) -> Recipe:
    """Softmax cross entropy in which a class's rivals weigh by how frequent they are and how far they are mistaken.

    Args: p: how much less a rarer class is pressed.  q: how much more a mistaken score is.
    """

    def slots(head: HeadTraits) -> Slots:
        normalize = PerValid() if head.is_framework else None
        return {"classify": Slot(loss=Seesaw(head.num_classes, p, q), normalize=normalize)}

    return Recipe(
        name="seesaw",
        on=BEYOND_RPN,
        slots=slots,
        kind="loss",
        title="Seesaw loss",
        summary="Soft: mitigates the negatives of rare classes, and compensates for those that are mistaken.",
        equation="softmax over z_j + ln(M_j C_j),   M = min(1, (N_j/N_t)^p),   C = max(1, (s_j/s_t)^q)",
        paper=Paper(
            "Wang, Zhang, Zang, Cao, Pang, Gong, Chen, Liu, Loy, Lin",
            "Seesaw Loss for Long-Tailed Instance Segmentation",
            "CVPR 2021",
            "2008.10032",
        ),
        differences=(
            "Background presses on all classes alike; the authors' head has separate objectness scores instead.",
            "Classes are counted over all ranks.",
            "On DETR every query counts once, as in the paper; DETR itself weighs background by a tenth.",
        ),
        parameters={"p": p, "q": q},
        tuned={"p": (0.4, 0.6, 0.8, 1.0), "q": (1.0, 1.5, 2.0, 2.5)},
    )
