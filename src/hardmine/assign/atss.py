"""ATSS assignment: each object finds its own IoU threshold among the samples nearest to it."""

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, centre_of, first_claim, is_inside, largest
from hardmine.core.boxes import pairwise_iou
from hardmine.core.rank_in_groups import top_set
from hardmine.core.samples import Assignment, Levels
from hardmine.errors import ConfigError

__all__ = ["ATSS"]


class ATSS(Assigner):
    """Gives each object those of its nearest samples that overlap it unusually well and have their centre inside it.

        candidates:  on each level the k samples whose centre is nearest to the object's
        positive:    IoU >= mean + standard deviation of the candidates' IoU, and centre inside the object

    Zhang, Chi, Yao, Lei, Li, Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training
    Sample Selection, CVPR 2020, arXiv:1912.02424.

    Convention: the deviation has N - 1 below it, as in the authors' code. A sample that several objects want belongs
    to the one it overlaps most, then to the first. Of equally near samples the first are candidates. No ignore band:
    what is not positive is background.
    Differs from mmdetection: a single candidate has deviation 0 (there NaN, and so no positive); k counts locations, so
    that with A anchors at each there are k · A candidates a level, as in the authors' code; a positive inside an
    ignore region stays one.

    Args: k: candidates of an object on each level, at least 1.
        box_strides: where given, samples are compared as squares of so many strides around their centre: for points,
        which have no boxes (the paper's anchors have 8).  ignore_overlap, chunk: see `Assigner`.
    Raises: ConfigError: an argument out of range.  ShapeError: without fitting levels.
    """

    needs: frozenset[AssignerEvidence] = frozenset({"levels"})

    def __init__(
        self, k: int = 9, box_strides: float | None = None, ignore_overlap: float = 0.5, chunk: int | None = None
    ):
        super().__init__(ignore_overlap, chunk)
        if k < 1 or (box_strides is not None and not box_strides > 0):
            raise ConfigError(f"ATSS needs k >= 1 and box_strides > 0 or None, got {k}, {box_strides}")
        self.k, self.box_strides = k, box_strides

    def match(self, pairing: Pairing) -> Assignment:
        centres = centre_of(pairing.boxes.mT).masked_fill(pairing.is_padding.unsqueeze(1), torch.inf)  # (B, 2, N)
        candidates = self._candidates(pairing, centres)  # (B, G, K)
        shape, flat = candidates.shape, candidates.flatten(1)
        near = pairing.boxes_for(self.box_strides).gather(1, flat.unsqueeze(-1).expand(-1, -1, 4)).view(*shape, 4)
        is_padding = pairing.is_padding.gather(1, flat).view(shape)
        iou = pairwise_iou(pairing.objects.unsqueeze(2), near).squeeze(2).masked_fill(is_padding, -torch.inf)
        points = centres.gather(2, flat.unsqueeze(1).expand(-1, 2, -1)).unflatten(2, shape[1:])
        inside = is_inside(points, pairing.objects.mT.unsqueeze(-1))
        positive = inside & (iou >= _threshold(iou, is_padding))
        return self.settle(pairing, first_claim(candidates, positive, iou, pairing.boxes.shape[1]))

    def _candidates(self, pairing: Pairing, centres: Tensor) -> Tensor:
        """The samples of every level, with centres (B, 2, N), that are nearest to each object, (B, G, K)."""
        centres, middles = centres.unsqueeze(2), centre_of(pairing.objects.mT).unsqueeze(-1)
        parts = self.chunks(middles.shape[2], pairing.is_padding)
        return torch.cat([self._nearest(centres, middles[:, :, part], pairing.levels) for part in parts], dim=1)

    def _nearest(self, centres: Tensor, middles: Tensor, levels: Levels) -> Tensor:
        """The samples, with centres (B, 2, 1, N), nearest to the middles (B, 2, G, 1) of some objects, (B, G, K)."""
        along_x, along_y = (centres - middles).square_().unbind(1)
        nearness = -(along_x + along_y)  # (B, G, N)
        nearest, start = [], 0
        for num, per_location in zip(levels.num_samples, levels.per_location, strict=True):
            nearest.append(top_set(nearness[..., start : start + num], self.k * per_location) + start)
            start += num
        return torch.cat(nearest, dim=-1)


def _threshold(iou: Tensor, is_padding: Tensor) -> Tensor:
    """Mean plus deviation of each object's candidates, (B, G, K) -> (B, G, 1); not a number where all are padding.

    Counted down from the largest, so that the mean of equal overlaps is exactly that overlap.
    """
    num, most = (~is_padding).sum(dim=-1, keepdim=True), largest(iou)
    below = (iou - most).masked_fill(is_padding, 0)
    mean = below.sum(dim=-1, keepdim=True) / num
    squares = (below - mean).masked_fill(is_padding, 0).square().sum(dim=-1, keepdim=True)
    return most + mean + (squares / (num - 1).clamp_min(1)).sqrt()
