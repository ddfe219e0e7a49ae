"""Class balance by the effective number of samples."""

from hardmine.equation.normalize import PerWeight
from hardmine.equation.recipe import BOXES_AND_PIXELS, PIXELS, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import ClassBalanced

__all__ = ["class_balanced"]

BETA, BETA_OF_PIXELS = 0.999, 1 - 1e-7


def class_balanced(beta: float | None = None) -> Recipe:
    """Positives weigh inversely to the effective number of positives that their class has had so far.

    Args: beta: 0 weighs all classes alike, towards 1 inversely to their number; None: .999 of boxes, and 1 - 1e-7 of
            pixels, of which there are millions.
    """

    def slots(head: HeadTraits) -> Slots:
        of_pixels = head.name in PIXELS
        default = BETA_OF_PIXELS if of_pixels else BETA
        weights = ClassBalanced(head.num_classes, beta=default if beta is None else beta)
        return {"classify": Slot(weights, normalize=PerWeight() if of_pixels else None)}

    return Recipe(
        name="class_balanced",
        on=BOXES_AND_PIXELS,
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
            "On pixels every class counts, and the sum is divided by that of the weights, as torch's weighted cross "
            "entropy is; the effective number has no bound below ten million.",
            "On YOLO and DETR the framework's own loss is weighed, and divided as ever.",
        ),
        parameters={"beta": beta},
        tuned={"beta": (None, 0.9, 0.99, 0.999, 0.9999)},
    )
