"""Boxes: overlap, and the two ways a detector writes a box down.

Convention: boxes are ``xyxy`` in absolute pixels, the last axis has length 4, areas have no "+1 pixel".

Overlaps are computed in float32 at least. Those of paired boxes are losses too, so their gradients are finite for any
boxes: a denominator of 0 becomes 1 (what it divides is 0 then). Nothing is added to any other denominator, so a box and
itself overlap exactly; an inverted box overlaps nothing.

An anchor-based detector predicts how its anchor must move (`DeltaCoder`), a point-based one how far the four sides
lie from its point (`DistanceCoder`). Both are plain value objects: ``encode`` (box -> code), ``decode`` (code -> box).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torchvision.ops import nms

__all__ = [
    "SIDES",
    "BoxCoder",
    "DeltaCoder",
    "DistanceCoder",
    "area",
    "at_least_float32",
    "complete_iou",
    "distance_iou",
    "generalized_iou",
    "paired_iou",
    "pairwise_intersection",
    "pairwise_iou",
    "pairwise_overlap_of_second",
    "side_by_side",
    "survives_nms",
]

SIDES = ("x1", "y1", "x2", "y2")
"""What the four numbers of a box are called in tables."""
LARGEST_LOG_SCALE = math.log(1000.0 / 16)  # a predicted side never exceeds 62.5 x its anchor's: exp() cannot overflow
EMPTY = 1e-12  # what is smaller, in pixels or their squares, has no extent: the inverse of its square must not overflow


def area(boxes: Tensor) -> Tensor:
    """Area in square pixels, (..., 4) -> (...). Inverted boxes have none."""
    return (boxes[..., 2] - boxes[..., 0]).clamp_min(0) * (boxes[..., 3] - boxes[..., 1]).clamp_min(0)


def side_by_side(boxes: Tensor) -> Tensor:
    """The same boxes (B, N, 4) with each coordinate of all of them in one stretch of memory, which is read faster."""
    return boxes.mT.contiguous().mT


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
    first, second = at_least_float32(first), at_least_float32(second)
    intersection = pairwise_intersection(first, second)
    union = area(first).unsqueeze(-1) + area(second).unsqueeze(-2) - intersection
    return (intersection / union.clamp_min(torch.finfo(union.dtype).tiny)).to(dtype)


def pairwise_overlap_of_second(first: Tensor, second: Tensor) -> Tensor:
    """Share of each second box that lies in each first box ("IoF"), (..., G, 4), (..., N, 4) -> (..., G, N)."""
    dtype = second.dtype
    first, second = at_least_float32(first), at_least_float32(second)
    own = area(second).unsqueeze(-2)
    return (pairwise_intersection(first, second) / own.clamp_min(torch.finfo(own.dtype).tiny)).to(dtype)


def survives_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Mask (B, K) of the boxes that none of the same image and label with a better score overlaps by more than ``iou``.

    (B, K, 4), (B, K), (B, K) int. One non-maximum suppression does the whole batch; of equal scores the first is best.
    """
    if scores.numel() == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    kept = nms(_apart(boxes, labels), scores.flatten().double(), iou)
    survives = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    return survives.index_fill_(0, kept, True).view_as(scores)


def _apart(boxes: Tensor, labels: Tensor) -> Tensor:
    """Boxes (B, K, 4) moved so that those of another image or label never meet, (B · K, 4).

    In float64: with B · C groups side by side, float32 would round the coordinates by tenths of a pixel.
    """
    image = torch.arange(len(boxes), device=boxes.device).unsqueeze(-1)
    label = labels - labels.min()
    group = image * (label.max() + 1) + label
    boxes = boxes.double() - boxes.min()
    return (boxes + (group * (boxes.max() + 1)).unsqueeze(-1)).flatten(0, 1)


def at_least_float32(values: Tensor) -> Tensor:
    """The same numbers where no area or sum overflows and little is rounded away."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each first box with its second, (..., 4), (..., 4) -> (...); as `pairwise_iou`."""
    a, b = at_least_float32(first), at_least_float32(second)
    return _overlap(a, b)[0].to(second.dtype)


def generalized_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """GIoU of paired boxes, (..., 4), (..., 4) -> (...), in [-1, 1].

        GIoU = IoU - (|hull| - |union|) / |hull|

    Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, arXiv:1902.09630.
    Areas are not clamped, so an inverted prediction still gets a gradient, and may leave [-1, 1]; one inverted in both
    directions has the area of an upright one (so it is in torchvision).
    """
    a, b = at_least_float32(predicted), at_least_float32(target)
    iou, union = _overlap(a, b)
    hull = _hull(a, b).prod(-1)
    return (iou - (hull - union) / _not_zero(hull)).to(predicted.dtype)


def distance_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """DIoU of paired boxes, (..., 4), (..., 4) -> (...), in [-1, 1].

        DIoU = IoU - (distance of the centres)² / (diagonal of the hull)²

    Zheng et al., Distance-IoU Loss, AAAI 2020, arXiv:1911.08287.
    """
    a, b = at_least_float32(predicted), at_least_float32(target)
    return (_overlap(a, b)[0] - _distance(a, b)).to(predicted.dtype)


def complete_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """CIoU of paired boxes, (..., 4), (..., 4) -> (...), in (-2, 1].

        CIoU = DIoU - α v,   v = (4 / π²) (atan(w'/h') - atan(w/h))²,   α = v / (1 - IoU + v)

    Zheng et al., Distance-IoU Loss, AAAI 2020, arXiv:1911.08287. α is held fixed: no gradient goes through it.
    The two angles are those of the diagonals, with sides below 0 taken as 0; a point has the angle 0.
    """
    a, b = at_least_float32(predicted), at_least_float32(target)
    iou = _overlap(a, b)[0]
    v = (4 / math.pi**2) * (_angle(a) - _angle(b)).square()
    balance = (v / _not_zero((1 - iou).clamp_min(0) + v)).detach()
    return (iou - _distance(a, b) - balance * v).to(predicted.dtype)


def _overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU, and area of the union, of paired boxes."""
    lower = torch.maximum(first[..., :2], second[..., :2])
    upper = torch.minimum(first[..., 2:], second[..., 2:])
    intersection = (upper - lower).clamp_min(0).prod(-1)
    union = _signed_area(first) + _signed_area(second) - intersection
    return intersection / _not_zero(union), union


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance of the centres of paired boxes, as a share of the squared diagonal of their hull."""
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    return apart.square().sum(-1) / _not_zero(_hull(first, second).square().sum(-1))


def _angle(boxes: Tensor) -> Tensor:
    """atan(width / height), finite with its gradient for boxes that have no height or are a point."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).unbind(-1)
    is_high = width <= height
    long = torch.where(is_high, height, width)
    angle = torch.atan(torch.where(is_high, width, height) / torch.where(long > EMPTY, long, 1))  # faster than atan2
    return torch.where(is_high, angle, math.pi / 2 - angle)


def _hull(first: Tensor, second: Tensor) -> Tensor:
    """Width and height of the smallest box around each pair."""
    return torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])


def _not_zero(denominator: Tensor) -> Tensor:
    return torch.where(denominator > EMPTY, denominator, 1)


def _signed_area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


class BoxCoder(Protocol):
    """Writes boxes relative to the anchors they are predicted from.

    scale: what the numbers are multiplied by, so that a network's outputs are of the size of 1.
    """

    @property
    def scale(self) -> float: ...

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

    @property
    def scale(self) -> float:
        return self.weights[0]

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

    @property
    def scale(self) -> float:
        return 1.0

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
