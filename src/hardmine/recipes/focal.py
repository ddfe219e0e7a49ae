"""Focal loss: the better a sample is classified, the less it counts."""

from hardmine.equation.normalize import PerPositive, PerValid
from hardmine.equation.recipe import BOXES_AND_PIXELS, PIXELS, HeadTraits, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import Focal
from hardmine.recipes.ce import RETINANET
from hardmine.sampling import All

__all__ = ["focal"]


def focal(gamma: float = 2.0, alpha: float = 0.25, prior: float = 0.01, over_all: bool = False) -> Recipe:
    """All samples with the focal loss, divided by the number of positives.

    Args: gamma: focusing, at least 0; 0 is balanced cross entropy.  alpha: weight of positives, in [0, 1].
        prior: probability with which a dense head's new classification layer starts, in (0, 1).
        over_all: divide by all samples instead, which the paper advises against: nearly all of them weigh nothing.
    """

    divisor = PerValid if over_all else PerPositive

    def slots(head: HeadTraits) -> Slots:
        balance = None if head.name in PIXELS else alpha
        return over_all_samples(head, Slot(All(), Focal(gamma, balance, head.activation), divisor()))

    return Recipe(
        name="focal",
        on=BOXES_AND_PIXELS,
        slots=slots,
        kind="soft",
        title="Focal loss",
        summary="Soft: easy samples keep a small weight, so that all anchors can take part without drowning the few.",
        equation="FL(p_t) = -α_t (1 - p_t)^γ log p_t",
        paper=RETINANET,
        gain="31.1 → 34.0 AP, RetinaNet R50-600",
        published=(
            "RetinaNet R50-600, COCO val: AP 34.0 at γ = 2, α = .25; balanced CE 31.1 (Table 1b)",
            "RetinaNet R101-600, COCO val: focal 36.0, best OHEM 32.8 (Table 1d)",
            "COCO test-dev, R101-800: AP 39.1",
        ),
        differences=(
            "The number of positives is counted over the whole batch and all ranks; torchvision divides image by "
            "image, which gives a background image far more weight per anchor.",
            "On a two-stage detector it replaces the RoI head's loss over the proposals its framework sampled, divided "
            "by the positives among them; little gain is reported there.",
            "On pixels without α, of which the background is no more than a class there: the average of all that are "
            "not ignored.",
            "On YOLO positives have the target 1 then, not a soft one; the box loss of YOLO and DETR stays as it is.",
        ),
        parameters={"gamma": gamma, "alpha": alpha, "prior": prior, "over_all": over_all},
        tuned={"gamma": (0.5, 1.0, 2.0, 5.0), "alpha": (0.25, 0.5, 0.75)},
        prior=prior,
    )
