"""Importance-based sample reweighting, the first half of prime sample attention."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import ISR, Combined, Random, ScoreHLR

__all__ = ["PISA_PAPER", "isr", "over_the_batch", "reweighted"]

PISA_PAPER = Paper("Cao, Chen, Loy, Lin", "Prime Sample Attention in Object Detection", "CVPR 2020", "1904.04821")


def over_the_batch(head: HeadTraits) -> dict[str, Slot]:
    """Both losses of a dense head divided by the positives of the batch, as the authors' code has them."""
    names = ("classify", "regress") if head.name == "dense" else ()
    return {name: Slot(normalize=PerPositive()) for name in names}


def reweighted(head: HeadTraits, k: float, bias: float, negative_k: float) -> dict[str, Slot]:
    """Positives by the rank of their IoU; of a RoI head also negatives by the rank of their score."""
    if not head.is_sampled:  # one Z for the batch, over which the ranks and the sum of losses are taken
        return {**over_the_batch(head), "classify": Slot(ISR(k, bias), normalize=head.over(PerPositive()))}
    negatives = ScoreHLR(k=negative_k, activation=head.activation)
    select = Slot(Combined(Random(), negatives, head.budget or 512, 0.25))
    return {"select": select, "classify": Slot(ISR(k, bias))}


def isr(k: float = 2.0, bias: float = 0.0, negative_k: float = 0.5) -> Recipe:
    """Samples weigh by their place in the hierarchical local rank, their loss in sum unchanged.

    Args: k: how steeply weights of positives fall with their rank, above 0.  bias: weight of the last, in [0, 1].
        negative_k: as k, of the negatives of a RoI head.
    """

    def slots(head: HeadTraits) -> Slots:
        return reweighted(head, k, bias, negative_k)

    return Recipe(
        name="isr",
        on=BEYOND_RPN,
        slots=slots,
        kind="soft",
        title="Importance-based sample reweighting",
        summary="Soft: the best box of every object first, then every second best: what average precision looks at.",
        equation="w = ((1 - β) u + β)^γ,   u = (n_max - r) / n_max,   w' = w · Σ ℓ / Σ w ℓ",
        paper=PISA_PAPER,
        gain="part of PISA's 36.4 → 38.4 AP, Faster R-CNN R50-FPN",
        published=("Faster R-CNN R50-FPN, COCO: 36.4 -> 38.4 with CARL (see pisa)",),
        differences=(
            "Ranks are taken over the whole batch without merging objects of different images; the authors' code "
            "merges them from the third image on.",
            "One-stage detectors: positives only, and both losses divided by the positives of the batch, as in the "
            "authors' code.",
            "DETR's objects have one query each: what is left of the rank is the order of IoUs over all objects.",
        ),
        parameters={"k": k, "bias": bias, "negative_k": negative_k},
        tuned={"k": (0.5, 1.0, 2.0), "bias": (0.0, 0.1, 0.2, 0.3)},
    )
