"""FCOS assignment: a point belongs to the smallest object whose middle it lies in."""

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, insets, off_centre
from hardmine.core.boxes import area
from hardmine.core.samples import BACKGROUND, Assignment, Levels
from hardmine.errors import ConfigError

__all__ = ["FCOSPoints"]


class FCOSPoints(Assigner):
    """Gives each point the smallest object that it lies inside, near the centre of, and that is of its level's size.

        inside:  min(l, t, r, b) > 0                 near:  max(|x - x_gt|, |y - y_gt|) < radius · stride
        size:    4·stride < max(l, t, r, b) < 8·stride, from 0 on the first level and to infinity on the last

    Tian et al., FCOS, ICCV 2019, arXiv:1904.01355; centre sampling as in its journal version, arXiv:2006.09214.

    Convention: a sample stands for its centre. No ignore band: what is not positive is background.

    Args: radius: of the centre region, in strides.  ignore_overlap, chunk: see `Assigner`.
    Raises: ConfigError: an argument out of range.  ShapeError: without fitting levels.
    """

    needs: frozenset[AssignerEvidence] = frozenset({"levels"})

    def __init__(self, radius: float = 1.5, ignore_overlap: float = 0.5, chunk: int | None = None):
        super().__init__(ignore_overlap, chunk)
        if not radius > 0:
            raise ConfigError(f"FCOSPoints needs radius > 0, got {radius}")
        self.radius = radius

    def match(self, pairing: Pairing) -> Assignment:
        stride = pairing.stride  # (N,)
        reach, size_range = self.radius * stride, _size_range(stride, pairing.levels)
        points, smallest = pairing.points, torch.full_like(pairing.boxes[..., 0], torch.inf)
        matched = torch.full(smallest.shape, BACKGROUND, device=smallest.device)
        for part in self.chunks(pairing.objects.shape[1], smallest):
            gt = pairing.objects[:, part]
            fits = _fits(points, gt, reach, size_range)  # (B, chunk, N)
            gt_area, index = torch.where(fits, area(gt).unsqueeze(-1), torch.inf).min(dim=1)
            matched = torch.where(gt_area < smallest, index + part.start, matched)
            smallest = torch.minimum(smallest, gt_area)
        return self.settle(pairing, matched)


def _fits(points: Tensor, gt: Tensor, reach: Tensor, size_range: tuple[Tensor, Tensor]) -> Tensor:
    """Whether each object (B, G, 4) may have each point (B, 2, 1, N), (B, G, N) bool."""
    gt = gt.mT.unsqueeze(-1)
    lower, upper = insets(points, gt)
    farthest = torch.maximum(lower, upper).amax(dim=1)
    of_size = (farthest > size_range[0]) & (farthest < size_range[1])
    inside = torch.minimum(lower, upper).amin(dim=1) > 0
    return of_size & inside & (off_centre(points, gt) < reach)


def _size_range(stride: Tensor, levels: Levels) -> tuple[Tensor, Tensor]:
    """Smallest and largest distance (N,) in pixels that each point answers for."""
    lower, upper = stride * 4, stride * 8
    lower[: levels.num_samples[0]] = 0
    upper[len(stride) - levels.num_samples[-1] :] = torch.inf
    return lower, upper
