"""Boxes: overlap, and the two ways a detector writes a box down.

Convention: boxes are ``xyxy`` in absolute pixels, the last axis has length 4, areas have no "+1 pixel".

Overlaps are computed in float32 at least. Those of paired boxes are losses too, so their gradients are finite for any
boxes: a denominator of 0 becomes 1 (what it divides is 0 then). Nothing is added to any other denominator, so a box and
itself overlap exactly; an inverted box overlaps nothing.

An anchor-based detector predicts how its anchor must move (`DeltaCoder`), a point-based one how far the four sides
lie from its point (`DistanceCoder`). Both are plain value objects: ``encode`` (box -> code), ``decode`` (code -> box).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

from hardmine.core.slopes import Sloped, with_slope
from hardmine.tables.columns import SIDES

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

LARGEST_LOG_SCALE = math.log(1000.0 / 16)  # a predicted side never exceeds 62.5 x its anchor's: exp() cannot overflow
EMPTY = 1e-12  # what is smaller, in pixels or their squares, has no extent: the inverse of its square must not overflow


def area(boxes: Tensor) -> Tensor:
    """Area in square pixels, (..., 4) -> (...). Inverted boxes have none."""
    lower, upper = boxes.chunk(2, dim=-1)
    width, height = (upper - lower).clamp_min(0).unbind(-1)
    return width * height


def side_by_side(boxes: Tensor) -> Tensor:
    """The same boxes (B, N, 4) with each coordinate of all of them in one stretch of memory, which is read faster."""
    return boxes.mT.contiguous().mT


def pairwise_intersection(first: Tensor, second: Tensor) -> Tensor:
    """Area that each of the first boxes shares with each of the second, (..., G, 4), (..., N, 4) -> (..., G, N)."""
    first_lower, first_upper = first.mT.unsqueeze(-1).chunk(2, dim=-3)  # (..., 2, G, 1), x and y
    second_lower, second_upper = second.mT.unsqueeze(-2).chunk(2, dim=-3)  # (..., 2, 1, N)
    sides = torch.minimum(first_upper, second_upper).sub_(torch.maximum(first_lower, second_lower))  # memory used again
    width, height = sides.clamp_min_(0).unbind(-3)
    return width * height


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair, (..., G, 4), (..., N, 4) -> (..., G, N). Two empty boxes have IoU 0.

    Computed in float32 at least: in float16 the area of a box of 256 pixels overflows.
    """
    dtype = second.dtype
    first, second = at_least_float32(first), at_least_float32(second)
    intersection = pairwise_intersection(first, second)
    union = (area(first).unsqueeze(-1) + area(second).unsqueeze(-2)).sub_(intersection)
    return (intersection / union.clamp_min_(torch.finfo(union.dtype).tiny)).to(dtype)


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
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each first box with its second, (..., 4), (..., 4) -> (...); as `pairwise_iou`."""
    return with_slope(_iou, at_least_float32(first), at_least_float32(second)).to(second.dtype)


def generalized_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """GIoU of paired boxes, (..., 4), (..., 4) -> (...), in [-1, 1].

        GIoU = IoU - (|hull| - |union|) / |hull|

    Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, arXiv:1902.09630.
    Areas are not clamped, so an inverted prediction still gets a gradient, and may leave [-1, 1]; one inverted in both
    directions has the area of an upright one (so it is in torchvision).
    """
    return with_slope(_generalized_iou, at_least_float32(predicted), at_least_float32(target)).to(predicted.dtype)


def distance_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """DIoU of paired boxes, (..., 4), (..., 4) -> (...), in [-1, 1].

        DIoU = IoU - (distance of the centres)² / (diagonal of the hull)²

    Zheng et al., Distance-IoU Loss, AAAI 2020, arXiv:1911.08287.
    """
    return with_slope(_distance_iou, at_least_float32(predicted), at_least_float32(target)).to(predicted.dtype)


def complete_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """CIoU of paired boxes, (..., 4), (..., 4) -> (...), in (-2, 1].

        CIoU = DIoU - α v,   v = (4 / π²) (atan(w'/h') - atan(w/h))²,   α = v / (1 - IoU + v)

    Zheng et al., Distance-IoU Loss, AAAI 2020, arXiv:1911.08287. α is held fixed: no gradient goes through it.
    The two angles are those of the diagonals, with sides below 0 taken as 0; a point has the angle 0, without a slope.
    """
    return with_slope(_complete_iou, at_least_float32(predicted), at_least_float32(target)).to(predicted.dtype)


def _iou(predicted: Tensor, target: Tensor) -> Sloped:
    pair = _Pair(predicted, target)
    return pair.iou, lambda: pair.slope(pair.iou / pair.below)


def _generalized_iou(predicted: Tensor, target: Tensor) -> Sloped:
    """With r = (|hull| - |union|) / |hull| the slope of GIoU is that of IoU - ((1 - r) |hull|' - |union|') / |hull|."""
    pair = _Pair(predicted, target)
    hull = _product(pair.hull)
    below = _not_zero(hull)
    rest = (hull - pair.union) / below

    def slope() -> Tensor:
        inverse = below.reciprocal()
        less_of_hull = torch.addcmul(inverse, inverse, _let_through(rest, hull, EMPTY), value=-1)
        return pair.slope(pair.iou / pair.below - inverse, (less_of_hull, pair.hull.flip(0), -1))

    return pair.iou - rest, slope


def _distance_iou(predicted: Tensor, target: Tensor) -> Sloped:
    pair = _Pair(predicted, target)
    distance, of_distance = pair.distance()
    return pair.iou - distance, lambda: pair.slope(pair.iou / pair.below, *of_distance())


def _complete_iou(predicted: Tensor, target: Tensor) -> Sloped:
    """The slope of α v is (8 / π²) α (θ - θ') times that of the angle: h / (w² + h²) in w, -w / (w² + h²) in h."""
    pair = _Pair(predicted, target)
    distance, of_distance = pair.distance()
    sides = pair.size.clamp_min(0)
    turned = _angle(sides) - _angle(pair.target_size.clamp_min(0))
    v = (4 / math.pi**2) * turned.square()
    balance = (v / _not_zero((1 - pair.iou).clamp_min(0) + v)).detach()

    def slope() -> Tensor:
        of_angle = balance * turned / _not_zero(_squared_length(sides))
        of_shape = (of_angle, _let_through(sides.flip(0), sides, 0), -8 / math.pi**2)
        return pair.slope(pair.iou / pair.below, *of_distance(), of_shape)

    return torch.addcmul(pair.iou - distance, balance, v, value=-1), slope


Product = tuple[Tensor, Tensor, float]
"""Factors that are multiplied where they are added to something: one kernel less."""


class _Pair:
    """Lengths of paired boxes, (2, ...) for x and y, and what they have to do with the corners of the first.

    With s the sign of (first - second) at each corner, and c = -1 for the lower and 1 for the upper one, the slopes in
    the corners of the first box are

        of a side of the overlap  (c - s) / 2,     of the hull  (c + s) / 2,     of the box itself  c

    because where the first box's corner is the inner one it moves the overlap, otherwise the hull; of equal corners
    each moves by half, as autograd has it of a maximum.
    """

    def __init__(self, first: Tensor, second: Tensor):
        self.first, self.second = _corners(first), _corners(second)
        low, high = torch.minimum(self.first, self.second), torch.maximum(self.first, self.second)
        self.overlap, self.hull = (low[1] - high[0]).clamp_min(0), high[1] - low[0]
        self.size, self.target_size = self.first[1] - self.first[0], self.second[1] - self.second[0]
        intersection = _product(self.overlap)
        self.union = _product(self.size) + _product(self.target_size) - intersection
        self.below = _not_zero(self.union)
        self.iou = intersection / self.below

    def distance(self) -> tuple[Tensor, Callable[[], tuple[Product, tuple[Tensor, Tensor, Tensor]]]]:
        """Squared distance of the centres as a share of the squared diagonal of the hull.

        And what gives `slope` that of minus the distance: in the sides of the hull, and what moves both corners alike.
        """
        apart = self.first - self.second
        centres, below = apart.mean(0), _not_zero(_squared_length(self.hull))
        share = _squared_length(centres) / below
        return share, lambda: ((share / below, self.hull, 2), (apart, centres, below))

    def slope(
        self,
        of_area: Tensor,
        of_hull: Product | None = None,
        away: tuple[Tensor, Tensor, Tensor] | None = None,
        of_shape: Product | None = None,
    ) -> Tensor:
        """Of the IoU and what is added to it, in the four numbers of the first box, (..., 4).

            IoU' = |overlap|' (1 / |union| + a) - |first|' a,     a = IoU / |union|

        of_area: a, less the slope in |union| of what is added.  of_hull: its slope in the sides of the hull.
        away: how far the first box's corners and its centre are off, and what the latter is divided by: minus the slope
        in both corners alike.  of_shape: slope in the width and, with the other sign, in the height.
        """
        moves = _let_through(self.overlap.flip(0), self.overlap, 0)
        both = differ = torch.addcmul(moves / self.below, of_area, moves)
        if of_hull is not None:
            *sides, times = of_hull
            both, differ = (torch.addcmul(both, *sides, value=sign * times) for sign in (1, -1))
        both = torch.addcmul(both, of_area, self.size.flip(0), value=-2)
        if of_shape is not None:
            factor, (width, height), times = of_shape
            both[0].addcmul_(factor, width, value=2 * times)
            both[1].addcmul_(factor, height, value=-2 * times)
        start = both * _of_corners(both)
        if away is None:
            apart = self.first - self.second
        else:
            apart, centres, below = away
            start = torch.addcdiv(start, centres, below, value=-1)
        return torch.addcmul(start, apart.sign(), differ, value=-0.5).flatten(0, 1).movedim(0, -1)


def _corners(boxes: Tensor) -> Tensor:
    """Lower and upper corner, x and y: (..., 4) -> (2, 2, ...), each number of all boxes in one stretch of memory."""
    return boxes.movedim(-1, 0).contiguous().unflatten(0, (2, 2))


def _of_corners(sides: Tensor) -> Tensor:
    """-½ and ½: how far the two corners of a box move with its side while its centre stays, (2, 1, ...)."""
    return torch.arange(-0.5, 1, dtype=sides.dtype, device=sides.device).view(2, *[1] * sides.ndim)


def _angle(sides: Tensor) -> Tensor:
    """atan(width / height), of sides of 0 at least; finite, with its gradient, for boxes without extent."""
    width, height = sides.unbind(0)
    return torch.atan(width / height.clamp_min(EMPTY))  # faster than atan2


def _product(sides: Tensor) -> Tensor:
    """Width times height."""
    width, height = sides.unbind(0)
    return width * height


def _squared_length(sides: Tensor) -> Tensor:
    return sides.square().sum(0)


def _not_zero(denominator: Tensor) -> Tensor:
    """1 where it is not above `EMPTY`."""
    return F.threshold(denominator, EMPTY, 1)


def _let_through(slope: Tensor, values: Tensor, least: float) -> Tensor:
    """The slope where the values are above ``least``, 0 elsewhere: what a threshold lets through."""
    return torch.ops.aten.threshold_backward(slope, values, least)


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
