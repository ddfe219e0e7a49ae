"""Boxes: overlap, and the two ways a detector writes a box down.

Convention: boxes are ``xyxy`` in absolute pixels, the last axis has length 4, areas have no "+1 pixel".

An anchor-based detector predicts how its anchor must move (`DeltaCoder`), a point-based one how far the four sides
lie from its point (`DistanceCoder`). Both are plain value objects: ``encode`` (box -> code), ``decode`` (code -> box).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "BoxCoder",
    "DeltaCoder",
    "DistanceCoder",
    "area",
    "generalized_iou",
    "paired_iou",
    "pairwise_intersection",
    "pairwise_iou",
    "pairwise_overlap_of_second",
]

LARGEST_LOG_SCALE = math.log(1000.0 / 16)  # a predicted side never exceeds 62.5 x its anchor's: exp() cannot overflow


def area(boxes: Tensor) -> Tensor:
    """Area in square pixels, (..., 4) -> (...). Inverted boxes have none."""
    return (boxes[..., 2] - boxes[..., 0]).clamp_min(0) * (boxes[..., 3] - boxes[..., 1]).clamp_min(0)


def pairwise_intersection(first: Tensor, second: Tensor) -> Tensor:
    """Area that each of the first boxes shares with each of the second, (..., G, 4), (..., N, 4) -> (..., G, N)."""
    ax1, ay1, ax2, ay2 = first.unsqueeze(-2).unbind(-1)
    bx1, by1, bx2, by2 = second.unsqueeze(-3).unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp_min(0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp_min(0)
    return width * height


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair, (..., G, 4), (..., N, 4) -> (..., G, N). Two empty boxes have IoU 0.

    Computed in float32 at least: in float16 the area of a box of 256 pixels overflows.
    """
    dtype = second.dtype
    first, second = _at_least_float32(first), _at_least_float32(second)
    intersection = pairwise_intersection(first, second)
    union = area(first).unsqueeze(-1) + area(second).unsqueeze(-2) - intersection
    return (intersection / union.clamp_min(torch.finfo(union.dtype).tiny)).to(dtype)


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each first box with its second, (..., 4), (..., 4) -> (...); as `pairwise_iou`."""
    return pairwise_iou(first.unsqueeze(-2), second.unsqueeze(-2)).squeeze(-1).squeeze(-1)


def pairwise_overlap_of_second(first: Tensor, second: Tensor) -> Tensor:
    """Share of each second box that lies in each first box ("IoF"), (..., G, 4), (..., N, 4) -> (..., G, N)."""
    dtype = second.dtype
    first, second = _at_least_float32(first), _at_least_float32(second)
    own = area(second).unsqueeze(-2)
    return (pairwise_intersection(first, second) / own.clamp_min(torch.finfo(own.dtype).tiny)).to(dtype)


def _at_least_float32(boxes: Tensor) -> Tensor:
    return boxes.to(torch.promote_types(boxes.dtype, torch.float32))


def generalized_iou(predicted: Tensor, target: Tensor, eps: float = 1e-7) -> Tensor:
    """GIoU of paired boxes, (..., 4), (..., 4) -> (...), in [-1, 1].

        GIoU = IoU - (|hull| - |union|) / |hull|

    Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, arXiv:1902.09630.
    ``eps`` is added to both denominators; areas are not clamped, so an inverted prediction still gets a gradient.
    """
    lower = torch.maximum(predicted[..., :2], target[..., :2])
    upper = torch.minimum(predicted[..., 2:], target[..., 2:])
    intersection = (upper - lower).clamp_min(0).prod(-1)
    union = _signed_area(predicted) + _signed_area(target) - intersection
    hull = torch.maximum(predicted[..., 2:], target[..., 2:]) - torch.minimum(predicted[..., :2], target[..., :2])
    hull_area = hull.prod(-1)
    return intersection / (union + eps) - (hull_area - union) / (hull_area + eps)


def _signed_area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


class BoxCoder(Protocol):
    """Writes boxes relative to the anchors they are predicted from."""

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Code of each box relative to its anchor, (..., 4), (..., 4) -> (..., 4)."""
        ...

    def decode(self, codes: Tensor, anchors: Tensor) -> Tensor:
        """Box that each code means at its anchor, (..., 4), (..., 4) -> (..., 4)."""
        ...


@dataclass(frozen=True, slots=True)
class DeltaCoder:
    """Shift of the centre in anchor sizes, and log of the size ratio (R-CNN's ``tx, ty, tw, th``).

        tx = (x - xa) / wa,   ty = (y - ya) / ha,   tw = log(w / wa),   th = log(h / ha)

    Girshick et al., Rich Feature Hierarchies, CVPR 2014, arXiv:1311.2524, appendix C.
    ``weights`` multiply the four numbers (10, 10, 5, 5 in an R-CNN head); decoding limits tw, th to log(1000/16).
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        (x, y, w, h), (xa, ya, wa, ha) = _centre_size(boxes), _centre_size(anchors)
        codes = ((x - xa) / wa, (y - ya) / ha, torch.log(w / wa), torch.log(h / ha))
        return torch.stack([code * weight for code, weight in zip(codes, self.weights, strict=True)], dim=-1)

    def decode(self, codes: Tensor, anchors: Tensor) -> Tensor:
        tx, ty, tw, th = (code / weight for code, weight in zip(codes.unbind(-1), self.weights, strict=True))
        xa, ya, wa, ha = _centre_size(anchors)
        x, y = tx * wa + xa, ty * ha + ya
        w, h = (t.clamp_max(LARGEST_LOG_SCALE).exp() * side for t, side in ((tw, wa), (th, ha)))
        return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)


@dataclass(frozen=True, slots=True)
class DistanceCoder:
    """Distances from the anchor's centre to the box's left, top, right and bottom side (FCOS).

    Tian et al., FCOS, ICCV 2019, arXiv:1904.01355, eq. 1. ``normalize`` measures them in anchor widths and heights
    (for FCOS the stride of the level) instead of pixels. Decoding takes negative distances as they are.
    """

    normalize: bool = True

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        xa, ya, wa, ha = _centre_size(anchors)
        x1, y1, x2, y2 = boxes.unbind(-1)
        codes = torch.stack([xa - x1, ya - y1, x2 - xa, y2 - ya], dim=-1)
        return codes / torch.stack([wa, ha, wa, ha], dim=-1) if self.normalize else codes

    def decode(self, codes: Tensor, anchors: Tensor) -> Tensor:
        xa, ya, wa, ha = _centre_size(anchors)
        scaled = codes * torch.stack([wa, ha, wa, ha], dim=-1) if self.normalize else codes
        left, top, right, bottom = scaled.unbind(-1)
        return torch.stack([xa - left, ya - top, xa + right, ya + bottom], dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + width / 2, y1 + height / 2, width, height
