"""Claims on the proposals of a two-stage detector: which of them are hard, and which are worth training on."""

import torch
from torch import Tensor

from hardmine.claims.claim import Claim, Contrast, Measurement, cell
from hardmine.claims.correlation import rank_correlation
from hardmine.claims.gains import gains
from hardmine.claims.runs import Runs, Training
from hardmine.core.samples import Evidence, Samples
from hardmine.diagnosis.bins import LOW_IOU
from hardmine.sampling import OHEM, Combined, IoUBalanced, Random, RandomBalanced, Sampling

__all__ = ["CLAIMS"]

DETECTOR = "fasterrcnn"
RANDOM, MINED, HNM = (cell(DETECTOR, name) for name in ("random", "ohem", "hnm"))
WITHOUT_NMS = cell(DETECTOR, "ohem", nms_iou=None)
AT_BUDGET = cell(DETECTOR, "ohem", budget=32)
"""OHEM with as many proposals of an image as the small detectors sample."""
PRIME = cell(DETECTOR, "isr")
NEGATIVES, POSITIVES = cell(DETECTOR, "iou_balanced"), cell(DETECTOR, "instance_balanced")
TOGETHER = cell(DETECTOR, "iou_balanced", balanced_positives=True)
USUAL_BUDGET = 512
HARD, DRAWN, BALANCED = "hardest", "random", "IoU-balanced"


def overlaps(runs: Runs, of: Training) -> tuple[float, dict[str, float]]:
    """Rank correlation of IoU and loss of a detector's negatives, and their share above .05 under three samplings."""
    trained = runs.trained(of)
    num = trained.traits.budget or USUAL_BUDGET
    samplings: dict[str, Sampling] = {
        DRAWN: RandomBalanced(num),
        HARD: OHEM(num),
        BALANCED: Combined(Random(), IoUBalanced(), num, 0.25),
    }
    needs: frozenset[Evidence] = frozenset({"classification_loss"})
    batches = trained.samples(needs.union(*(sampling.needs for sampling in samplings.values())))
    return hardness_of_overlap(batches), {name: share_above(batches, by) for name, by in samplings.items()}


def hardness_of_overlap(batches: list[Samples]) -> float:
    """Spearman's correlation of IoU and classification loss over all negatives."""
    negative = [batch.assignment.is_negative for batch in batches]
    iou = _flat([batch.assignment.iou for batch in batches], negative)
    loss = _flat([batch["classification_loss"] for batch in batches], negative)
    return rank_correlation(iou.numpy(), loss.numpy())


def share_above(batches: list[Samples], sampling: Sampling) -> float:
    """Of the negatives that a sampling keeps, the share with an IoU above .05."""
    kept = [(sampling(batch) > 0) & batch.assignment.is_negative for batch in batches]
    return float((_flat([batch.assignment.iou for batch in batches], kept) > LOW_IOU).float().mean())


def _flat(values: list[Tensor], masks: list[Tensor]) -> Tensor:
    return torch.cat([of[mask].detach() for of, mask in zip(values, masks, strict=True)])


def measure_overlaps(runs: Runs) -> Measurement:
    """Negatives with a higher IoU lose more; of the hardest more lie above .05 than of random ones."""
    found = {training: overlaps(runs, training) for training in runs.trainings([RANDOM])}
    correlation = runs.over_seeds(RANDOM, lambda of: found[of][0])
    shares = {
        name: runs.over_seeds(RANDOM, lambda of, name=name: found[of][1][name]) for name in (DRAWN, HARD, BALANCED)
    }
    contrasts = [
        Contrast("rank correlation of IoU and loss, over negatives", correlation),
        Contrast("share of negatives above IoU .05: hardest - random", shares[HARD] - shares[DRAWN]),
        Contrast("the same: IoU-balanced - random", shares[BALANCED] - shares[DRAWN]),
    ]
    return Measurement(contrasts, {f"share above IoU .05, {name}": by_seed for name, by_seed in shares.items()})


SHRIVASTAVA = "Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016"
LIBRA = "Pang et al., Libra R-CNN, CVPR 2019"
CLAIMS = (
    Claim(
        slug="ohem-improves",
        ids=("003-15", "004-15"),
        words="Training on the hardest proposals instead of random ones improves a two-stage detector visibly.",
        source=SHRIVASTAVA,
        published="Fast R-CNN VGG16: VOC07 66.9 to 69.9 mAP, 07+12 70.0 to 74.6, VOC12 65.7 to 69.8; Faster R-CNN "
        "R50-FPN, COCO: 36.4 to 36.6 AP (mmdetection)",
        measure=gains((MINED, RANDOM), (WITHOUT_NMS, RANDOM), (HNM, RANDOM)),
        cells=(RANDOM, MINED, WITHOUT_NMS, HNM),
        data="VOC",
        notes="hnm keeps the hardest three negatives a positive. OHEM keeps 64 of an image, random sampling as many as "
        "the detector has it.",
    ),
    Claim(
        slug="suppression-helps-ohem",
        ids=("004-19", "001-10"),
        words="Overlapping proposals have nearly the same loss, so suppression before the choice helps OHEM.",
        source=SHRIVASTAVA,
        published="no figure with and without",
        measure=gains((MINED, WITHOUT_NMS)),
        cells=(MINED, WITHOUT_NMS),
        data="VOC",
    ),
    Claim(
        slug="high-iou-negatives-are-hard",
        ids=("000-05",),
        words="Hard negatives overlap objects, random sampling takes few of these, IoU-balanced sampling as many as of "
        "the others.",
        source=LIBRA,
        published="above IoU .05: more than 60 % of the hard negatives, about 30 % of those drawn at random",
        measure=measure_overlaps,
        cells=(RANDOM,),
        notes="Three samplings of the same proposals of a finished detector; the hardest are those that OHEM keeps.",
    ),
    Claim(
        slug="prime-beats-hard",
        ids=("000-10",),
        words="Hard samples are not the most important ones: with as many proposals, prime samples gain more.",
        source="Cao et al., Prime Sample Attention in Object Detection, CVPR 2020",
        published="Faster R-CNN R50-FPN, COCO: random 36.4, OHEM 36.6, PISA 38.4 AP (mmdetection)",
        measure=gains((PRIME, AT_BUDGET), (PRIME, RANDOM)),
        cells=(RANDOM, PRIME, AT_BUDGET),
        notes="isr weighs by hierarchical local ranks what the detector samples, 32 of an image at small scale; OHEM "
        "keeps the 32 hardest.",
    ),
    Claim(
        slug="balanced-sampling-gains",
        ids=("000-26",),
        words="Sampling balanced over IoU and over objects gains about a point, at no cost, without the balanced loss.",
        source=LIBRA,
        published="Faster R-CNN R50-FPN, COCO: IoU-balanced 35.9 to 36.8, instance-balanced 35.9 to 36.1 AP",
        measure=gains((NEGATIVES, RANDOM), (POSITIVES, RANDOM), (TOGETHER, RANDOM)),
        cells=(RANDOM, NEGATIVES, POSITIVES, TOGETHER),
        notes="With balanced_positives both halves are on.",
    ),
)
