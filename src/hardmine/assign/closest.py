"""Re-assignment of hard positives: what came closest to an object that was missed becomes positive as well."""

from dataclasses import replace

import torch
from torch import Tensor

from hardmine.assign.atss import ATSS
from hardmine.assign.base import Assigner, Pairing
from hardmine.assign.max_iou import MaxIoU
from hardmine.core.boxes import pairwise_iou
from hardmine.core.rank_in_groups import rank_in_groups
from hardmine.core.samples import Assignment
from hardmine.errors import ConfigError

__all__ = ["MIN_IOU", "WithClosest"]

MIN_IOU = 0.3
"""Below, the usual thresholds call a sample background; with .1, AP got worse where that was measured."""


class WithClosest(Assigner):
    """Gives each object that was missed, beside the samples that another assigner gives it, the k closest of the rest.

        closest:  the largest IoU with the object, among samples that belong to no object, overlap none more than this
                  one, and overlap it by ``min_iou`` at least

    The symmetric remedy for mining of negatives alone, which shifts the balance round by round: hard positives go back
    to the positive side. Which objects were missed, `GroundTruth.missed` says; where it says nothing, the assignment is
    the other assigner's, at no cost.

    Convention: of several objects that a sample overlaps alike, the first may have it; of samples that are alike, the
    first k become positive. Samples that were ignored may become positive, in ignore regions, too: somebody annotated
    that object. An object that too few samples come close to gets those that do.

    Args: assigner: `MaxIoU` or `ATSS` of samples that are boxes; None: `MaxIoU()`.  k: samples an object, at least 1.
        min_iou: in (0, 1]; what overlaps an object by less would learn a box that it hardly sees.
    Raises: ConfigError: an argument out of range, or another assigner.
    """

    def __init__(self, assigner: Assigner | None = None, k: int = 3, min_iou: float = MIN_IOU):
        assigner = MaxIoU() if assigner is None else assigner
        super().__init__(assigner.ignore_overlap, assigner.chunk)
        if k < 1 or not 0 < min_iou <= 1:
            raise ConfigError(f"WithClosest needs k >= 1 and min_iou in (0, 1], got {k}, {min_iou}")
        if not isinstance(assigner, MaxIoU | ATSS) or assigner.box_strides is not None:
            raise ConfigError(
                f"WithClosest adds samples by the IoU of their boxes, got {type(assigner).__name__}, which goes by "
                "something else; expected MaxIoU or ATSS of boxes (anchors, proposals)"
            )
        self.assigner, self.needs = assigner, assigner.needs
        self.k, self.min_iou = k, min_iou

    def match(self, pairing: Pairing) -> Assignment:
        assignment = self.assigner.match(pairing)
        if pairing.missed is None or pairing.missed.shape[1] == 0:
            return assignment
        iou, nearest = self._nearest(pairing)
        is_near = iou >= self.min_iou  # padding is an empty box, which is near nothing
        may = is_near & ~assignment.is_positive & pairing.missed.gather(1, nearest)
        rank = rank_in_groups(iou, nearest.masked_fill(~may, -1))
        taken = may & (rank < self.k)
        return replace(assignment, matched_gt=torch.where(taken, nearest, assignment.matched_gt))

    def _nearest(self, pairing: Pairing) -> tuple[Tensor, Tensor]:
        """Each sample's largest IoU, and the first object with which it has that, (B, N)."""
        iou = torch.full_like(pairing.boxes[..., 0], -1.0)
        nearest = torch.zeros_like(iou, dtype=torch.int64)
        for part in self.chunks(pairing.objects.shape[1], pairing.is_padding):
            of_part, index = pairwise_iou(pairing.objects[:, part], pairing.boxes).max(dim=1)
            nearest = torch.where(of_part > iou, index + part.start, nearest)
            iou = torch.maximum(iou, of_part)
        return iou, nearest
