"""Online hard example mining: every image trains on its worst samples."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from hardmine.core.boxes import survives_nms
from hardmine.core.rank_in_groups import top_among, top_balanced, top_indices
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.base import Sampling

__all__ = ["OHEM"]

RankBy = Literal["both", "classification"]
Over = Literal["image", "batch"]
LOSSES_OF: dict[RankBy, frozenset[Evidence]] = {
    "both": frozenset({"classification_loss", "regression_loss"}),
    "classification": frozenset({"classification_loss"}),
}
NMS_EVIDENCE: frozenset[Evidence] = frozenset({"boxes", "labels"})


class OHEM(Sampling):
    """Keeps the ``budget`` samples of each image with the largest loss, near-copies set aside first.

        keep the top B/N of   ℓ_cls + ℓ_loc   after NMS with the loss as score (IoU > .7, per image and label)

    Shrivastava, Gupta, Girshick, Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016,
    arXiv:1604.03540. The NMS is there because neighbouring proposals have nearly the same loss, so that without it one
    mistake would be counted many times. Positives and negatives compete; there is no ratio between them.

    Convention: ``budget`` is what one image keeps: the paper's B = 128 with N = 2 images a batch is 64. Of equal losses
    the first are the largest.
    Gradient: none through the selection.

    mmdetection's form is ``OHEM(512, nms_iou=None, positive_fraction=.25, rank_by="classification")``: positives and
    negatives apart, classification loss only, no NMS. The authors' code ranks over the whole mini-batch after the NMS,
    not per image as the paper says: ``over="batch"``.

    Args: nms_iou: overlap above which the easier of two samples is set aside; None for no NMS.
        positive_fraction: where given, the most positives kept, as a share of the budget.
        negatives_per_positive: where given, together with ``positive_fraction``, at most that many negatives for each
        positive kept, as if there were one where there is none (mmdetection's ``neg_pos_ub``).
        candidates: only this many hardest samples of an image enter the NMS. It goes from the hardest down, so what is
        kept is that of an NMS over all of them, as long as ``budget`` of these survive.
    Raises: ConfigError: an argument out of range, ``over="batch"`` together with ``positive_fraction``, or
        ``negatives_per_positive`` without it.
    """

    def __init__(
        self,
        budget: int = 64,
        nms_iou: float | None = 0.7,
        positive_fraction: float | None = None,
        rank_by: RankBy = "both",
        over: Over = "image",
        candidates: int = 1000,
        negatives_per_positive: float | None = None,
    ):
        super().__init__()
        _check(budget, nms_iou, positive_fraction, rank_by, over, candidates)
        _check_ratio(negatives_per_positive, positive_fraction)
        self.nms_iou, self.positive_fraction, self.rank_by = nms_iou, positive_fraction, rank_by
        self.num, self.over, self.candidates = budget, over, candidates
        self.negatives_per_positive = negatives_per_positive
        self.pools_batch = over == "batch"
        self.budget = budget if over == "image" else None
        self.on_device = nms_iou is None
        self.needs = LOSSES_OF[rank_by] | (NMS_EVIDENCE if nms_iou is not None else frozenset())

    def weigh(self, samples: Samples) -> Tensor:
        loss = samples["classification_loss"]
        if self.rank_by == "both":
            loss = loss + samples["regression_loss"]
        assignment = samples.assignment
        if self.nms_iou is not None:
            assignment = assignment.only(_survivors(loss, samples, self.nms_iou, self.candidates))
        if self.positive_fraction is not None:
            ratio = self.negatives_per_positive
            kept = top_balanced(loss, assignment, self.num, self.positive_fraction, ratio)
        elif self.over == "image":
            kept = top_among(loss, assignment.is_valid, self.num)
        else:
            whole, quota = assignment.is_valid.reshape(1, -1), self.num * len(loss)
            kept = top_among(loss.reshape(1, -1), whole, quota).reshape(loss.shape)
        return kept.to(loss.dtype)


def _survivors(loss: Tensor, samples: Samples, iou: float, candidates: int) -> Tensor:
    """Mask (B, N) of the samples that no harder one of the same image and label overlaps too much."""
    valid = samples.assignment.is_valid
    hardness = loss.masked_fill(~valid, -torch.inf)
    index = top_indices(hardness, candidates)  # (B, K)
    score = hardness.gather(1, index)
    boxes = samples["boxes"].masked_fill(~valid.unsqueeze(-1), 0).gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
    survives = survives_nms(boxes, score, samples["labels"].gather(1, index), iou)
    return torch.zeros_like(valid).scatter_(1, index, survives)


def _check(
    budget: int, nms_iou: float | None, positive_fraction: float | None, rank_by: str, over: str, candidates: int
) -> None:
    if budget < 1 or candidates < 1:
        raise ConfigError(f"OHEM needs budget >= 1 and candidates >= 1, got {budget}, {candidates}")
    if any(value is not None and not 0 <= value <= 1 for value in (nms_iou, positive_fraction)):
        raise ConfigError(
            f"OHEM needs nms_iou and positive_fraction in [0, 1] or None, got {nms_iou}, {positive_fraction}"
        )
    if rank_by not in get_args(RankBy) or over not in get_args(Over):
        raise ConfigError(
            f"OHEM needs rank_by in {get_args(RankBy)} and over in {get_args(Over)}, got {rank_by!r}, {over!r}"
        )
    if over == "batch" and positive_fraction is not None:
        raise ConfigError("OHEM keeps a positive_fraction per image; use over='image' or positive_fraction=None")


def _check_ratio(negatives_per_positive: float | None, positive_fraction: float | None) -> None:
    if negatives_per_positive is None:
        return
    if positive_fraction is None or not 0 <= negatives_per_positive < math.inf:
        raise ConfigError(
            f"OHEM needs negatives_per_positive >= 0, and a positive_fraction with it, got {negatives_per_positive}, "
            f"{positive_fraction}; without a fraction positives and negatives compete"
        )
