"""FCOS assignment: a point belongs to the smallest object whose middle it lies in."""

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, centre_of, margin, off_centre
from hardmine.boxes import area
from hardmine.errors import ConfigError
from hardmine.samples import BACKGROUND, Assignment, Levels

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
        points, size_range = centre_of(pairing.boxes), _size_range(stride, pairing.levels)
        smallest = torch.full_like(points[0], torch.inf)
        matched = torch.full(smallest.shape, BACKGROUND, device=smallest.device)
        for part in self.chunks(pairing.objects.shape[1], smallest.numel()):
            gt = pairing.objects[:, part]
            fits = self._fits(points, gt, stride, size_range) & pairing.is_object[:, part, None]  # (B, chunk, N)
            gt_area, index = torch.where(fits, area(gt).unsqueeze(-1), torch.inf).min(dim=1)
            matched = torch.where(gt_area < smallest, index + part.start, matched)
            smallest = torch.minimum(smallest, gt_area)
        return self.settle(pairing, matched)

    def _fits(
        self, points: tuple[Tensor, Tensor], gt: Tensor, stride: Tensor, size_range: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Whether each object (B, G, 4) may have each point, x and y (B, N) each; (B, G, N) bool."""
        (x, y), gt = (axis.unsqueeze(1) for axis in points), gt.unsqueeze(2)
        farthest = _farthest_side(x, y, gt)
        of_size = (farthest > size_range[0]) & (farthest < size_range[1])
        return of_size & (margin(x, y, gt) > 0) & (off_centre(x, y, gt) < self.radius * stride)


def _farthest_side(x: Tensor, y: Tensor, boxes: Tensor) -> Tensor:
    """How far from the points the farthest side of the boxes (..., 4) lies, in pixels."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    across = torch.maximum(x - x1, x2 - x)
    return torch.maximum(across, torch.maximum(y - y1, y2 - y))


def _size_range(stride: Tensor, levels: Levels) -> tuple[Tensor, Tensor]:
    """Smallest and largest distance (N,) in pixels that each point answers for."""
    lower, upper = stride * 4, stride * 8
    lower[: levels.num_samples[0]] = 0
    upper[len(stride) - levels.num_samples[-1] :] = torch.inf
    return lower, upper
