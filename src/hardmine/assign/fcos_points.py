"""FCOS assignment: a point belongs to the smallest object whose middle it lies in."""

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, fitting, settle, stride_of
from hardmine.boxes import area, pairwise_iou
from hardmine.errors import ConfigError
from hardmine.samples import BACKGROUND, Assignment, GroundTruth, Levels, Predictions

__all__ = ["FCOSPoints"]


class FCOSPoints(Assigner):
    """Gives each point the smallest object that it lies inside, near the centre of, and that is of its level's size.

        inside:  min(l, t, r, b) > 0                 near:  max(|x - x_gt|, |y - y_gt|) < radius · stride
        size:    4·stride < max(l, t, r, b) < 8·stride, from 0 on the first level and to infinity on the last

    Tian et al., FCOS, ICCV 2019, arXiv:1904.01355; centre sampling as in its journal version, arXiv:2006.09214.

    Convention: a sample stands for its centre. No ignore band: what is not positive is background.

    Args: radius: of the centre region, in strides.  chunk: ground truths compared at a time; memory O(B · N · chunk).
    Raises: ConfigError: an argument out of range.  ShapeError: without fitting levels.
    """

    needs: frozenset[AssignerEvidence] = frozenset({"levels"})

    def __init__(self, radius: float = 1.5, ignore_overlap: float = 0.5, chunk: int = 32):
        super().__init__()
        if radius <= 0 or chunk < 1 or not 0 <= ignore_overlap <= 1:
            raise ConfigError(
                f"FCOSPoints needs radius > 0, chunk >= 1 and ignore_overlap in [0, 1], "
                f"got {radius}, {chunk}, {ignore_overlap}"
            )
        self.radius, self.ignore_overlap, self.chunk = radius, ignore_overlap, chunk

    @torch.no_grad()
    def forward(
        self,
        boxes: Tensor,
        ground_truth: GroundTruth,
        *,
        is_padding: Tensor | None = None,
        levels: Levels | None = None,
        predictions: Predictions | None = None,
    ) -> Assignment:
        levels = fitting(levels, boxes)
        stride = stride_of(boxes, levels)  # (N,)
        smallest, size_range = boxes.new_full(boxes.shape[:2], torch.inf), _size_range(stride, levels)
        matched = torch.full(smallest.shape, BACKGROUND, device=boxes.device)
        iou = torch.zeros_like(smallest)
        for start in range(0, ground_truth.boxes.shape[1], self.chunk):
            part = slice(start, start + self.chunk)
            gt, is_object = ground_truth.boxes[:, part].to(boxes.dtype), ground_truth.is_object[:, part, None]
            fits = self._fits(boxes, gt, stride, size_range) & is_object  # (B, chunk, N)
            gt_area, index = torch.where(fits, area(gt).unsqueeze(-1), torch.inf).min(dim=1)
            matched = torch.where(gt_area < smallest, index + start, matched)
            smallest = torch.minimum(smallest, gt_area)
            iou = torch.maximum(iou, pairwise_iou(gt, boxes).masked_fill(~is_object, 0).amax(dim=1))
        return settle(boxes, ground_truth, matched, iou, ignore_overlap=self.ignore_overlap, is_padding=is_padding)

    def _fits(self, points: Tensor, gt: Tensor, stride: Tensor, size_range: tuple[Tensor, Tensor]) -> Tensor:
        """Whether each object (B, G, 4) may have each point (B, N, 4), (B, G, N) bool."""
        centre = (points[..., :2] + points[..., 2:])[:, None] / 2  # (B, 1, N, 2)
        gt_centre = (gt[..., :2] + gt[..., 2:])[:, :, None] / 2  # (B, G, 1, 2)
        near = (centre - gt_centre).abs().amax(-1) < self.radius * stride
        sides = torch.cat([centre - gt[:, :, None, :2], gt[:, :, None, 2:] - centre], dim=-1)  # (B, G, N, 4)
        farthest = sides.amax(-1)
        of_size = (farthest > size_range[0]) & (farthest < size_range[1])
        return near & (sides.amin(-1) > 0) & of_size


def _size_range(stride: Tensor, levels: Levels) -> tuple[Tensor, Tensor]:
    """Smallest and largest distance (N,) in pixels that each point answers for."""
    lower, upper = stride * 4, stride * 8
    lower[: levels.num_samples[0]] = 0
    upper[len(stride) - levels.num_samples[-1] :] = torch.inf
    return lower, upper
