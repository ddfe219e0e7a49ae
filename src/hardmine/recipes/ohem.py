"""OHEM as its paper has it."""

from hardmine.equation.normalize import PerSampled
from hardmine.equation.recipe import BEYOND_RPN, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.losses import CrossEntropy
from hardmine.sampling import OHEM, All, Sampling, Scheduled

__all__ = ["OHEM_PAPER", "mined", "ohem"]

BUDGET = 64
ONE_STAGE_BUDGET = 256  # the best of RetinaNet's Table 1d at the same NMS

OHEM_PAPER = Paper(
    "Shrivastava, Gupta, Girshick",
    "Training Region-based Object Detectors with Online Hard Example Mining",
    "CVPR 2016",
    "1604.03540",
)


def mined(sampling: Sampling, head: HeadTraits, warmup: float = 0.0) -> Slots:
    """The slots of a head that trains on what OHEM keeps, each kept sample counting alike.

    warmup: the share of the training in which the framework's own sampling stays.
    """
    sampling = Scheduled(None, sampling, warmup) if warmup else sampling
    if head.name != "dense":
        return {"select": Slot(sampling)}
    classify = Slot(All(), CrossEntropy(head.activation), PerSampled())
    return {"select": Slot(sampling), "classify": classify, "regress": Slot(normalize=PerSampled())}


def ohem(
    budget: int | None = None,
    nms_iou: float | None = 0.7,
    candidates: int = 1000,
    objects_as_proposals: bool = True,
    warmup: float = 0.0,
) -> Recipe:
    """The ``budget`` samples of each image with the largest classification + box loss, after NMS by loss.

    Args: budget: samples an image keeps; None: 64 of a head with few samples, the paper's B = 128 for N = 2 images, and
            256 of a one-stage detector's, which has many more.
        nms_iou: overlap above which only the harder of two samples stays; None for no NMS.
        candidates: only this many hardest samples of an image enter the NMS.
        objects_as_proposals: whether a RoI head also trains on the boxes of the objects themselves.
        warmup: the share of the training in which the framework's own sampling stays.
    """

    def slots(head: HeadTraits) -> Slots:
        default = ONE_STAGE_BUDGET if head.name in ("dense", "soft") else BUDGET
        return mined(OHEM(budget or default, nms_iou, candidates=candidates), head, warmup)

    return Recipe(
        name="ohem",
        on=BEYOND_RPN,
        slots=slots,
        kind="hard",
        title="Online hard example mining",
        summary="Hard: every image trains on its worst samples only; positives and negatives compete, without a ratio.",
        equation="w_i = 1 for the B/N samples of largest ℓ_cls + ℓ_loc after NMS by loss (IoU > .7), else 0",
        paper=OHEM_PAPER,
        gain="66.9 → 69.9 mAP, Fast R-CNN VGG16, VOC07",
        published=(
            "Fast R-CNN VGG16, VOC07 test: mAP 66.9 -> 69.9 (trained on 07), 70.0 -> 74.6 (07+12)",
            "Fast R-CNN VGG16, COCO test-dev: AP 19.7 -> 22.6",
            "mmdetection's form, Faster R-CNN R50-FPN, COCO: 36.4 -> 36.6: little is left on a modern detector",
            "RetinaNet R101-600, COCO val: best OHEM 32.8, focal loss 36.0",
        ),
        differences=(
            "Two passes through one head instead of a read-only copy of it: the same gradients (dropout apart).",
            "NMS overlap without the authors' code's '+1 pixel'.",
            "The RPN keeps its random sampling, as in the authors' code.",
            "On a dense detector: cross entropy, divided by the samples kept, which are 256 of an image, the best that "
            "RetinaNet's paper found for OHEM with this NMS (128, 256, 512: 31.1, 31.8, 30.6).",
            "YOLO and DETR have no boxes before regression to suppress by: there, nms_iou=None, or `rfcn_ohem`.",
        ),
        objects_as_proposals=objects_as_proposals,
        parameters={
            "budget": budget,
            "nms_iou": nms_iou,
            "candidates": candidates,
            "objects_as_proposals": objects_as_proposals,
            "warmup": warmup,
        },
        tuned={"budget": (None, 64, 128, 256, 512), "nms_iou": (0.5, 0.7)},
    )
