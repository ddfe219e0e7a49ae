"""Plain cross entropy over all samples: what every other method of a dense detector is measured against."""

from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import BOXES_AND_PIXELS, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import CrossEntropy
from hardmine.sampling import All

__all__ = ["RETINANET", "ce"]

RETINANET = Paper(
    "Lin, Goyal, Girshick, He, Dollár", "Focal Loss for Dense Object Detection", "ICCV 2017", "1708.02002"
)


def ce(prior: float = 0.01) -> Recipe:
    """Every sample counts once; only the number of positives divides the sum.

    Args: prior: probability with which a dense head's new classification layer starts, in (0, 1); .5: as any layer.
    """

    def slots(head: HeadTraits) -> Slots:
        normalize = None if head.name == "roi" else PerPositive()
        return over_all_samples(head, Slot(All(), CrossEntropy(head.activation), normalize))

    return Recipe(
        name="ce",
        on=BOXES_AND_PIXELS,
        slots=slots,
        kind="loss",
        title="Cross entropy",
        summary="No sampling, no weights. Dense detectors start from a prior of 1 %, without which this diverges.",
        equation="CE(p_t) = -log p_t",
        paper=RETINANET,
        gain="30.2 AP from the prior alone, RetinaNet R50-600",
        published=(
            "RetinaNet R50-600, COCO val: diverges without the prior, AP 30.2 with π = .01 (Table 1a)",
            "for comparison there: balanced CE 31.1, focal loss 34.0",
        ),
        differences=(
            "On a two-stage detector only the RoI head's loss is set, and its framework's random sampling kept, "
            "so there it equals `random`.",
            "On pixels it is what frameworks train them with, so there it equals `random`.",
            "On YOLO positives have the target 1 then, not a soft one; the box loss of YOLO and DETR stays as it is.",
        ),
        parameters={"prior": prior},
        prior=prior,
    )
