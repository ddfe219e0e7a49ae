"""What criteria of the DETR family say of their queries, in this project's conventions.

They speak in lists an image: `indices` (query, object), boxes as centre, width and height in 0..1. A head speaks in
batches: objects and samples padded, boxes as corners in pixels.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.ops import box_convert

from hardmine.core.boxes import at_least_float32, paired_iou
from hardmine.core.samples import BACKGROUND, GroundTruth

__all__ = ["Indices", "box_iou", "box_losses", "matched_objects", "objects_of", "to_pixels"]

SMALLEST = 1e-7
Indices = Sequence[tuple[Tensor, Tensor]]
"""Of each image, its matched queries and the object of each."""


def to_pixels(boxes: Tensor, size: Tensor) -> Tensor:
    """Corners in pixels of boxes (..., 4) given as centre, width, height in 0..1; size (4,): W, H, W, H."""
    return box_convert(boxes, "cxcywh", "xyxy") * size


def objects_of(targets: Sequence[Mapping[str, Tensor]], labels: str, size: Tensor) -> GroundTruth:
    """The objects of a batch, in pixels; labels: under which name the targets have their classes."""
    boxes = [to_pixels(target["boxes"], size).to(size) for target in targets]
    return GroundTruth.from_lists(boxes, [target[labels].long().to(size.device) for target in targets])


def matched_objects(indices: Indices, num_queries: int, device: torch.device) -> Tensor:
    """The object of each query, or BACKGROUND, (B, N) int64."""
    matched = torch.full((len(indices), num_queries), BACKGROUND, dtype=torch.int64, device=device)
    image = torch.cat([torch.full_like(query, b) for b, (query, _) in enumerate(indices)])
    query, of = (torch.cat([pair[side] for pair in indices]) for side in (0, 1))
    return matched.index_put((image.to(device), query.to(device)), of.to(device, torch.int64))


def box_losses(predicted: Tensor, goal: Tensor, is_positive: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of |difference| and 1 - GIoU of each query, twice (B, N, 4) as centre, width, height in 0..1 -> twice (B, N).

    0 where not positive; those are computed on a unit box. Corners are as precise as the predictions, all that follows
    is in float32 at least: so criteria of the family compute it in mixed precision.
    """
    predicted, goal = _safe(predicted, is_positive), _safe(goal, is_positive)
    distance = at_least_float32(predicted - goal).abs().sum(-1)
    return torch.where(is_positive, distance, 0), torch.where(is_positive, 1 - _generalized_iou(predicted, goal), 0)


def box_iou(predicted: Tensor, goal: Tensor, is_positive: Tensor) -> Tensor:
    """IoU of each query with its goal, shapes as `box_losses`, 0 where not positive; without gradient."""
    pair = (_corners(_safe(boxes.detach(), is_positive)) for boxes in (predicted, goal))
    return torch.where(is_positive, paired_iou(*pair), 0)


def _safe(boxes: Tensor, is_positive: Tensor) -> Tensor:
    return torch.where(is_positive.unsqueeze(-1), boxes, torch.full_like(boxes, 0.5))


def _corners(boxes: Tensor) -> Tensor:
    """Sides below 0, which rfdetr may predict before it has learnt, are none."""
    middle, sides = boxes.chunk(2, dim=-1)
    half = sides.clamp_min(0) * 0.5
    return at_least_float32(torch.cat([middle - half, middle + half], dim=-1))


def _generalized_iou(predicted: Tensor, goal: Tensor) -> Tensor:
    """GIoU of pairs, by autograd.

    A query may begin as a box without extent, where there is more than one gradient: this is the one that these
    frameworks take, and `hardmine.core.boxes.generalized_iou` has another.
    """
    first, second = _corners(predicted), _corners(goal)
    shared = _area(torch.max(first[..., :2], second[..., :2]), torch.min(first[..., 2:], second[..., 2:]))
    hull = _area(torch.min(first[..., :2], second[..., :2]), torch.max(first[..., 2:], second[..., 2:]))
    union = _area(*first.chunk(2, dim=-1)) + _area(*second.chunk(2, dim=-1)) - shared
    return shared / union.clamp_min(SMALLEST) - (hull - union) / hull.clamp_min(SMALLEST)


def _area(lower: Tensor, upper: Tensor) -> Tensor:
    width, height = (upper - lower).clamp_min(0).unbind(-1)
    return width * height
