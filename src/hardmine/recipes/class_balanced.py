"""Class balance by the effective number of samples."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import ClassBalanced

__all__ = ["class_balanced"]


def class_balanced(beta: float = 0.999) -> Recipe:
    """Positives weigh inversely to the effective number of positives that their class has had so far.

    Args: beta: 0 weighs all classes alike, towards 1 inversely to their number.
    """

    def slots(head: HeadTraits) -> Slots:
        return {"classify": Slot(ClassBalanced(head.num_classes, beta=beta))}

    return Recipe(
        name="class_balanced",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="Class-balanced weights",
        summary="Soft: rare classes count more, the less a further sample of a frequent one would add.",
        equation="w_c ∝ (1 - β) / (1 - β^n_c), with mean 1 over the classes",
        paper=Paper(
            "Cui, Jia, Lin, Song, Belongie",
            "Class-Balanced Loss Based on Effective Number of Samples",
            "CVPR 2019",
            "1901.05555",
        ),
        differences=(
            "The paper classifies images; here positives of a detector are weighed and its background stays at 1.",
            "Classes are counted while training, over all ranks; the paper counts the data set before.",
            "On YOLO and DETR the framework's own loss is weighed, and divided as ever.",
        ),
        parameters={"beta": beta},
        tuned={"beta": (0.9, 0.99, 0.999, 0.9999)},
    )
