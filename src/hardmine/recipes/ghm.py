"""Gradient harmonising: a sample counts inversely to how many have its gradient norm."""

from hardmine.equation.normalize import PerPositive, PerValid
from hardmine.equation.recipe import BOXES_AND_PIXELS, HeadTraits, Paper, Recipe, Slot, Slots, over_all_samples
from hardmine.losses import ASL1, CrossEntropy
from hardmine.sampling import GHMC, GHMR

__all__ = ["ghm"]

MU = 0.02  # of codes as RetinaNet has them
BOX_LOSS_WEIGHT = 10 / 4  # the authors' 10 is of a mean over the four numbers of a code; we sum over them


def ghm(
    bins: int = 30, momentum: float = 0.75, box_bins: int = 10, box_momentum: float = 0.7, mu: float = MU
) -> Recipe:
    """GHM-C on the classification of a dense head, GHM-R on every box loss.

    Args: bins, box_bins: unit regions of the gradient norm, at least 1.
        momentum, box_momentum: of the densities over steps, in [0, 1).
        mu: error of a code of RetinaNet around which a box's gradient norm goes from 0 to 1, above 0.
    """

    def slots(head: HeadTraits) -> Slots:
        scale = BOX_LOSS_WEIGHT / head.code_scale if head.name == "dense" else 1 / 4
        width = mu * head.code_scale
        harmonised = Slot(GHMR(width, box_bins, box_momentum), ASL1(width), PerPositive(), scale=scale)
        if head.name == "roi":
            return {"regress": harmonised}
        density = GHMC(bins=bins, momentum=momentum, activation=head.activation)
        classify = Slot(density, CrossEntropy(head.activation), PerValid())
        return over_all_samples(head, classify, harmonised if "code_error" in head.evidence else None)

    return Recipe(
        name="ghm",
        on=BOXES_AND_PIXELS,
        slots=slots,
        kind="soft",
        title="Gradient harmonising mechanism",
        summary="Soft: the crowd of easy samples and the crowd of outliers count less, so each gradient norm is heard.",
        equation="w_i = N / GD(g_i),   g = |p - t| of scores, |d / √(d² + μ²)| of boxes,   GD = R_bin(g) · M",
        paper=Paper("Li, Liu, Wang", "Gradient Harmonized Single-stage Detector", "AAAI 2019", "1811.05181"),
        gain="35.6 (focal) → 35.8 AP, with GHM-R 36.4, RetinaNet R50",
        published=(
            "RetinaNet R50, COCO minival: cross entropy 28.6, focal loss 35.6, GHM-C 35.8",
            "boxes there: smooth L1 35.8, ASL1 35.7, GHM-R 36.4; Faster R-CNN: smooth L1 36.4 -> GHM-R 37.4",
            "M = 5, 10, 20, 30, 40 regions: 33.4, 34.6, 35.2, 35.8, 35.4; exact density 35.9",
        ),
        differences=(
            "The moving average is corrected for its start at 0, counts of empty regions decay too, and counts are "
            "summed over ranks; the authors' code does none of these.",
            "Divided by all M regions as in the paper; the authors' code divides by those that are not empty.",
            "Densities are of the whole batch as in the paper; the authors' head calls the loss level by level of the "
            "pyramid, each divided by its own number of samples, with one moving average that runs through them.",
            "Softmax heads (SSD) and pixels: one gradient norm a sample, 1 - p of its label; pixels have no box loss.",
            "On a two-stage detector only the RoI head's box loss changes, divided by four times the positives, as "
            "many samples as a framework draws.",
            "Where box codes are multiplied by a factor (RoI heads, SSD: 10), μ is as well.",
            "On FCOS the box loss stays its own: its codes are distances, not corrections of an anchor. On YOLO and "
            "DETR it stays the framework's, so only GHM-C is left; YOLO's positives have the target 1 then.",
        ),
        parameters={
            "bins": bins,
            "momentum": momentum,
            "box_bins": box_bins,
            "box_momentum": box_momentum,
            "mu": mu,
        },
        tuned={"bins": (5, 10, 20, 30, 40), "momentum": (0.0, 0.5, 0.75, 0.9), "mu": (MU, 0.05, 0.1, 0.2)},
        prior=0.01,
    )
