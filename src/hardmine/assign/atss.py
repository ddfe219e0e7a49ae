"""ATSS assignment: each object finds its own IoU threshold among the samples nearest to it."""

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, centre_of, first_claim, largest, margin
from hardmine.boxes import paired_iou
from hardmine.errors import ConfigError
from hardmine.ranking import top_indices
from hardmine.samples import Assignment

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
        candidates = self._candidates(pairing)  # (B, G, K)
        shape, flat = candidates.shape, candidates.flatten(1)
        objects = pairing.objects.unsqueeze(2)
        near = self._compared(pairing).gather(1, flat.unsqueeze(-1).expand(-1, -1, 4)).view(*shape, 4)
        iou = paired_iou(objects.expand_as(near), near)
        is_sample = ~pairing.is_padding.gather(1, flat).view(shape)
        positive = is_sample & pairing.is_object.unsqueeze(-1)
        positive &= (iou >= _threshold(iou, is_sample)) & (margin(*centre_of(near), objects) > 0)
        return self.settle(pairing, first_claim(candidates, positive, iou, pairing.boxes.shape[1]))

    def _compared(self, pairing: Pairing) -> Tensor:
        """The boxes that stand for the samples, (B, N, 4)."""
        if self.box_strides is None:
            return pairing.boxes
        centre = torch.stack(centre_of(pairing.boxes), dim=-1)
        half = (pairing.stride * (self.box_strides / 2)).unsqueeze(-1)
        return torch.cat([centre - half, centre + half], dim=-1)

    def _candidates(self, pairing: Pairing) -> Tensor:
        """The nearest samples of every level to each object, (B, G, K)."""
        levels, nearest, start = pairing.levels, [], 0
        centres = torch.stack(centre_of(pairing.boxes), dim=1).unsqueeze(2)  # (B, 2, 1, N)
        centres = centres.masked_fill(pairing.is_padding[:, None, None], torch.inf)
        for num, per_location in zip(levels.num_samples, levels.per_location, strict=True):
            own = centres[..., start : start + num]
            parts = self.chunks(pairing.objects.shape[1], own.numel() // 2)
            of_level = [_nearest(own, pairing.objects[:, part], self.k * per_location) for part in parts]
            nearest.append(torch.cat(of_level, dim=1) + start)
            start += num
        return torch.cat(nearest, dim=-1)


def _nearest(centres: Tensor, objects: Tensor, num: int) -> Tensor:
    """Places of the samples, with centres (B, 2, 1, N), nearest to the middle of each object (B, G, 4), (B, G, K)."""
    x, y = (middle.unsqueeze(-1) for middle in centre_of(objects))
    squared_distance = (centres[:, 0] - x).square() + (centres[:, 1] - y).square()  # (B, G, N)
    return top_indices(-squared_distance, num)


def _threshold(iou: Tensor, is_sample: Tensor) -> Tensor:
    """Mean plus deviation of each object's candidates, (B, G, K) -> (B, G, 1).

    Counted down from the largest, so that the mean of equal overlaps is exactly that overlap.
    """
    num = is_sample.sum(dim=-1, keepdim=True)
    most = largest(torch.where(is_sample, iou, 0))
    below = torch.where(is_sample, iou - most, 0)
    mean = below.sum(dim=-1, keepdim=True) / num.clamp_min(1)
    squares = torch.where(is_sample, below - mean, 0).square().sum(dim=-1, keepdim=True)
    return most + mean + (squares / (num - 1).clamp_min(1)).sqrt()
