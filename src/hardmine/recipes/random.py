"""The framework's own default: the baseline of every comparison."""

from hardmine.equation.recipe import HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import RandomBalanced

__all__ = ["random"]


def random(
    num: int | None = None,
    positive_fraction: float | None = None,
    negatives_per_positive: float | None = None,
    objects_as_proposals: bool = True,
) -> Recipe:
    """The detector as its framework trains it; a two-stage detector samples its proposals at random.

    Args: num: proposals that the head of a two-stage detector keeps of an image; None: as many as its framework does.
            Use it to compare at the budget of another method.
        positive_fraction: the most positives among them, as a share; None: the framework's own, or .25 with ``num``.
        negatives_per_positive: where given, the most negatives kept for each positive that is.
        objects_as_proposals: whether a RoI head also trains on the boxes of the objects themselves.
    """

    def slots(head: HeadTraits) -> Slots:
        if num is None and positive_fraction is None and negatives_per_positive is None:
            return {}
        fraction = 0.25 if positive_fraction is None else positive_fraction
        return {"select": Slot(RandomBalanced(num or head.budget or 512, fraction, negatives_per_positive))}

    return Recipe(
        name="random",
        on=frozenset({"roi"}),
        slots=slots,
        kind="own",
        title="The framework's own default",
        summary="Two-stage: random proposals, 25 % positive. RetinaNet and FCOS: focal loss. SSD: 3:1 hard negatives. "
        "YOLO and DETR: as matched, all of them.",
        equation="w_i = 1 for n·f random positives and as many random negatives as make up n, else 0",
        paper=Paper(
            "Ren, He, Girshick, Sun",
            "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
            "NeurIPS 2015",
            "1506.01497",
        ),
        differences=(
            "Counts are taken over all ranks, so that training on several GPUs gives the gradient of one; "
            "the frameworks divide by each rank's own count.",
        ),
        objects_as_proposals=objects_as_proposals,
        parameters={
            "num": num,
            "positive_fraction": positive_fraction,
            "negatives_per_positive": negatives_per_positive,
            "objects_as_proposals": objects_as_proposals,
        },
    )
