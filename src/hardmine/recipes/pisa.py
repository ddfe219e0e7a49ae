"""Prime sample attention: ISR and CARL together."""

from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Recipe, Slots
from hardmine.recipes.carl import classification_aware
from hardmine.recipes.isr import PISA_PAPER, reweighted

__all__ = ["pisa"]


def pisa(
    k: float = 2.0, bias: float = 0.0, negative_k: float = 0.5, carl_k: float = 1.0, carl_bias: float = 0.2
) -> Recipe:
    """Samples weigh by their rank, and scores follow the quality of boxes.

    Args: k, bias, negative_k: of the ranks, see `isr`.  carl_k, carl_bias: of the score's weight, see `carl`.
    """

    def slots(head: HeadTraits) -> Slots:
        return {**reweighted(head, k, bias, negative_k), **classification_aware(head, carl_k, carl_bias)}

    return Recipe(
        name="pisa",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="Prime sample attention",
        summary="Soft: attends to the samples that average precision depends on, the best box of every object.",
        equation="L = Σ w'_i ℓ_cls + Σ (1 + c_i) ℓ_box,   w' of ISR, c of CARL",
        paper=PISA_PAPER,
        gain="36.4 → 38.4 AP, Faster R-CNN R50-FPN",
        published=(
            "COCO, mmdetection's zoo: Faster R-CNN R50-FPN 36.4 -> 38.4, RetinaNet R50 35.6 -> 36.9",
            "SSD300 25.6 -> 27.6, SSD512 29.3 -> 31.8; another base (TOOD, Table 2): PISA 37.3, ATSS 39.2",
        ),
        differences=(
            "Those of isr and carl, for YOLO and DETR too.",
            "One-stage form: ISR for positives and CARL, as in the authors' code.",
        ),
        parameters={"k": k, "bias": bias, "negative_k": negative_k, "carl_k": carl_k, "carl_bias": carl_bias},
        tuned={"k": (0.5, 1.0, 2.0), "bias": (0.0, 0.1, 0.2, 0.3), "carl_bias": (0.0, 0.1, 0.2, 0.3)},
    )
