"""Max-IoU assignment: every anchor looks for its best object, and every object for its best anchor."""

from typing import Literal, get_args

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, is_inside
from hardmine.core.boxes import pairwise_iou
from hardmine.core.samples import BACKGROUND, IGNORE, Assignment
from hardmine.errors import ConfigError

__all__ = ["MaxIoU"]

ForceMatch = Literal["off", "take", "take_one", "keep"]


class MaxIoU(Assigner):
    """Gives each sample the object it overlaps most, if it overlaps it enough.

        IoU >= positive_iou                    the sample belongs to that object
        IoU <  negative_iou                    background
        between the two                        ignored
        an object's best sample, if its IoU > 0 and >= min_positive_iou      positive in addition ("force-match")

    Ren et al., Faster R-CNN, NeurIPS 2015, arXiv:1506.01497, section 3.1.2. The usual thresholds (a / b / c) are
    RPN .7 / .3 / .3, RetinaNet .5 / .4 / 0, R-CNN head .5 / .5 / off.

    Convention: ``force_match`` says what an object's best samples (all that tie) become.
    "take": they belong to that object, the later object winning (mmdetection).  "take_one": only the first of them
    does (SSD).  "keep": they belong to the object that they themselves overlap most (torchvision, detectron2), which
    does not promise every object a sample.  "off": nothing.
    Differs from all of these: an object that touches no sample forces none, where they make *every* sample positive;
    and a positive inside an ignore region stays one, where mmdetection ignores it.

    Args: box_strides: where given, samples are compared as squares of so many strides around their centre: for points,
        which have no boxes (ATSS's paper has 8), and overlap only what they lie in.
        ignore_overlap, chunk: see `Assigner`.
    Raises: ConfigError: thresholds out of order or of [0, 1], or another argument out of range.
        ShapeError: box_strides without fitting levels.
    """

    def __init__(
        self,
        positive_iou: float = 0.5,
        negative_iou: float = 0.4,
        min_positive_iou: float = 0.0,
        force_match: ForceMatch = "take",
        ignore_overlap: float = 0.5,
        chunk: int | None = None,
        box_strides: float | None = None,
    ):
        super().__init__(ignore_overlap, chunk)
        if not 0 <= negative_iou <= positive_iou <= 1:
            raise ConfigError(
                f"MaxIoU needs 0 <= negative_iou <= positive_iou <= 1, got {negative_iou}, {positive_iou}"
            )
        if not 0 <= min_positive_iou <= 1:
            raise ConfigError(f"MaxIoU needs min_positive_iou in [0, 1], got {min_positive_iou}")
        if force_match not in get_args(ForceMatch):
            raise ConfigError(f"MaxIoU force_match must be one of {get_args(ForceMatch)}, got {force_match!r}")
        if box_strides is not None and not box_strides > 0:
            raise ConfigError(f"MaxIoU needs box_strides > 0 or None, got {box_strides}")
        of_points: frozenset[AssignerEvidence] = frozenset({"levels"})
        self.needs = frozenset() if box_strides is None else of_points
        self.box_strides = box_strides
        self.positive_iou, self.negative_iou, self.min_positive_iou = positive_iou, negative_iou, min_positive_iou
        self.force_match = force_match

    def match(self, pairing: Pairing) -> Assignment:
        iou, best_gt, forced_gt = self._best_matches(pairing)
        matched = torch.full_like(best_gt, IGNORE).masked_fill(iou < self.negative_iou, BACKGROUND)
        matched = torch.where((iou >= self.positive_iou) & (best_gt >= 0), best_gt, matched)
        matched = torch.where(forced_gt >= 0, best_gt if self.force_match == "keep" else forced_gt, matched)
        return self.settle(pairing, matched, iou if self.box_strides is None else None)

    def _best_matches(self, pairing: Pairing) -> tuple[Tensor, Tensor, Tensor]:
        """Each sample's best IoU and object, and the object that claims it (-1: none), all (B, N)."""
        boxes = pairing.boxes_for(self.box_strides)
        best_iou = torch.zeros_like(boxes[..., 0])
        best_gt = torch.full(best_iou.shape, BACKGROUND, device=best_iou.device)
        forced_gt = best_gt
        for part in self.chunks(pairing.objects.shape[1], best_iou):
            iou = pairwise_iou(pairing.objects[:, part], boxes)  # (B, chunk, N)
            if self.box_strides is not None:  # a point outside of an object cannot say how far its sides are
                inside = is_inside(pairing.points, pairing.objects[:, part].mT.unsqueeze(-1))
                iou = iou.masked_fill(~inside, 0)  # no padding is inside of one
            chunk_iou, chunk_gt = iou.max(dim=1)
            best_gt = torch.where(chunk_iou > best_iou, chunk_gt + part.start, best_gt)
            best_iou = torch.maximum(best_iou, chunk_iou)
            if self.force_match != "off" and best_iou.shape[1] > 0:
                forced_gt = torch.maximum(forced_gt, self._claims(iou, part.start))
        return best_iou, best_gt, forced_gt

    def _claims(self, iou: Tensor, start: int) -> Tensor:
        """The last object of the chunk (B, chunk, N) whose best sample each one is, (B, N), or -1."""
        best, first = iou.max(dim=2, keepdim=True)
        may_force = (best > 0) & (best >= self.min_positive_iou)
        if self.force_match == "take_one":
            claimed = torch.zeros_like(iou, dtype=torch.bool).scatter_(2, first, may_force)
        else:
            claimed = (iou == best) & may_force
        gt_index = torch.arange(start, start + iou.shape[1], device=iou.device)[:, None]
        return gt_index.masked_fill(~claimed, BACKGROUND).amax(dim=1)
