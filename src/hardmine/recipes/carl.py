"""Classification-aware regression loss, the second half of prime sample attention."""

from hardmine.equation.normalize import PerPositive, PerValid
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe, Slot, Slots
from hardmine.recipes.isr import PISA_PAPER, over_the_batch
from hardmine.sampling import CARL

__all__ = ["carl", "classification_aware"]


def classification_aware(head: HeadTraits, k: float, bias: float) -> dict[str, Slot]:
    """The box loss and, added to it, the box loss weighted by the score of the label."""
    # a RoI head's box loss is divided by all samples, of which CARL weighs the positives only
    normalize = PerValid() if head.name == "roi" else head.over(PerPositive())
    return {"regress": Slot(CARL(k, bias, base=1.0, activation=head.activation), normalize=normalize)}


def carl(k: float = 1.0, bias: float = 0.2) -> Recipe:
    """The box loss counts once more, weighted by the score of the label, and its gradient reaches the classifier.

    Args: k: how steeply the weight falls with the score, above 0.  bias: weight at score 0, in [0, 1].
    """

    def slots(head: HeadTraits) -> Slots:
        return {**over_the_batch(head), **classification_aware(head, k, bias)}

    return Recipe(
        name="carl",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="Classification-aware regression loss",
        summary="Soft: raises the score of well placed boxes and lowers that of badly placed ones.",
        equation="L_carl = Σ c_i ℓ_box,   c = v / mean(v),   v = ((1 - b) p + b)^k",
        paper=PISA_PAPER,
        gain="part of PISA's 36.4 → 38.4 AP, Faster R-CNN R50-FPN",
        published=("Faster R-CNN R50-FPN, COCO: 36.4 -> 38.4 with ISR (see pisa)",),
        differences=(
            "The loss is the detector's own box loss, smooth L1 in the paper.",
            "One-stage detectors: both losses are divided by the positives of the batch, as in the authors' code.",
            "It is added to the box loss within one sum, w = 1 + c, not as a third loss: the same value and gradient.",
            "On YOLO and DETR it weighs the framework's box losses, divided as ever; YOLO's hold its soft target.",
        ),
        parameters={"k": k, "bias": bias},
        tuned={"k": (0.5, 1.0, 2.0), "bias": (0.0, 0.1, 0.2, 0.3)},
    )
