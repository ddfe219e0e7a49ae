"""Hard negative mining at 3:1, SSD's way."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import All, HardNegative

__all__ = ["hnm"]


def hnm(ratio: float = 3.0, min_negatives: int = 3, budget: int | None = None) -> Recipe:
    """All positives, and of the negatives ``ratio`` times as many with the largest classification loss.

    Args: ratio: negatives a positive.  min_negatives: kept by an image with few objects or none.
        budget: the most proposals that an image of a two-stage detector keeps; None: as many as its framework samples.
    """

    def slots(head: HeadTraits) -> Slots:
        if head.name == "roi":
            return {"select": Slot(HardNegative(ratio, min_negatives, budget or head.budget))}
        if head.is_framework:
            return {"select": Slot(HardNegative(ratio, min_negatives))}
        per_positive = Slot(All(), normalize=PerPositive())
        return {
            "select": Slot(HardNegative(ratio, min_negatives)),
            "classify": per_positive,
            "regress": per_positive,
        }

    return Recipe(
        name="hnm",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="3:1 hard negative mining",
        summary="Keeps the hardest negatives only, three a positive; all positives stay.",
        equation="w_i = 1 for positives and the 3·P negatives of largest ℓ_cls of an image, else 0",
        paper=Paper(
            "Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg",
            "SSD: Single Shot MultiBox Detector",
            "ECCV 2016",
            "1512.02325",
        ),
        differences=(
            "An image without objects keeps `min_negatives` instead of none, so that it still teaches the background.",
            "The paper mines a one-stage detector; on a two-stage one the RoI head's proposals are mined, "
            "with the head's own loss and normaliser.",
            "The loss stays the detector's own: softmax cross entropy on SSD, focal loss on RetinaNet and FCOS.",
            "On YOLO and DETR the framework's losses are mined, and divided by its count of positives, kept or not.",
        ),
        parameters={"ratio": ratio, "min_negatives": min_negatives, "budget": budget},
        tuned={"ratio": (1.0, 3.0, 5.0, 10.0)},
    )
