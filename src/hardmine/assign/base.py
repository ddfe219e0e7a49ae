"""What every assigner is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from hardmine.core.boxes import at_least_float32, pairwise_iou, pairwise_overlap_of_second, side_by_side
from hardmine.core.samples import BACKGROUND, IGNORE, Assignment, GroundTruth, Levels, Predictions
from hardmine.errors import ConfigError, ShapeError

__all__ = ["Assigner", "AssignerEvidence"]

AssignerEvidence = Literal["levels", "predictions"]
"""What an assigner may need to know beside the boxes and the ground truth."""
NO_LEVELS = Levels((), (), ())
PAIRS_AT_A_TIME = {"cpu": 1 << 20}
"""Pairs of an object and a sample, over the batch, that are compared at a time on a kind of device: what its cache
holds."""
LAUNCHES_PAY = 1 << 24
"""The same on all other devices: a kernel over so many pairs takes longer than its launch, and needs 64 MB a result."""


class Assigner(nn.Module, ABC):
    """Decides which ground truth each sample belongs to: an object, the background, or nothing that counts.

    Args: ignore_overlap: a negative with more than this share of its area in one ignore region is ignored.
        chunk: ground truths compared at a time; memory is O(B · N · chunk). None: as many as keep that bounded.
    Raises: ConfigError: an argument out of range.
    """

    needs: frozenset[AssignerEvidence] = frozenset()
    """The optional arguments of `forward` that the method must be given."""
    on_device: ClassVar[bool] = True
    """False where a call waits for the device, because what it does next depends on values."""

    def __init__(self, ignore_overlap: float = 0.5, chunk: int | None = None):
        super().__init__()
        if not 0 <= ignore_overlap <= 1 or (chunk is not None and chunk < 1):
            raise ConfigError(
                f"{type(self).__name__} needs ignore_overlap in [0, 1] and chunk >= 1 or None, "
                f"got {ignore_overlap}, {chunk}"
            )
        self.ignore_overlap, self.chunk = ignore_overlap, chunk

    @abstractmethod
    def match(self, pairing: "Pairing") -> Assignment:
        """Which object each sample belongs to; called without gradient."""

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
        """Matches boxes (B, N, 4) to the ground truth.

        is_padding: (B, N) bool, rows that are not samples; they become IGNORE.
        levels, predictions: assigners that do not name them in `needs` take no notice of them.
        Raises: ShapeError: something needed is absent or does not fit.
        """
        levels = _fitting(levels, boxes) if "levels" in self.needs else NO_LEVELS
        said = (
            _predicted(predictions, boxes) if "predictions" in self.needs else Predictions(boxes[:, :0], boxes[:, :0])
        )
        return self.match(Pairing.of(boxes, ground_truth, is_padding, levels, said))

    def chunks(self, num: int, samples: Tensor) -> Iterator[slice]:
        """Parts of so many ground truths, or classes, to compare at a time with the samples (B, N)."""
        pairs = PAIRS_AT_A_TIME.get(samples.device.type, LAUNCHES_PAY)
        step = self.chunk or max(1, pairs // max(1, samples.numel()))
        return (slice(start, min(start + step, num)) for start in range(0, num, step))

    def settle(self, pairing: "Pairing", matched_gt: Tensor, iou: Tensor | None = None) -> Assignment:
        """Ignores padding, and negatives with more than ``ignore_overlap`` of their area in one ignore region.

        Padding is an empty box, which overlaps nothing. A positive inside an ignore region stays positive: somebody
        annotated that object.
        iou: of each sample with the object it overlaps most, where it is known already.
        """
        if iou is None:
            iou = self._largest_iou(pairing)
        drop = pairing.is_padding
        for part in self.chunks(pairing.ignore_regions.shape[1], matched_gt):
            share = pairwise_overlap_of_second(pairing.ignore_regions[:, part], pairing.boxes)
            drop = drop | ((share.amax(dim=1) > self.ignore_overlap) & (matched_gt < 0))
        return Assignment(matched_gt.masked_fill(drop, IGNORE), iou.to(pairing.dtype))

    def _largest_iou(self, pairing: "Pairing") -> Tensor:
        if pairing.objects.shape[1] == 0:
            return torch.zeros_like(pairing.boxes[..., 0])
        parts = self.chunks(pairing.objects.shape[1], pairing.is_padding)
        return reduce(
            torch.maximum, (pairwise_iou(pairing.objects[:, part], pairing.boxes).amax(dim=1) for part in parts)
        )


@dataclass(frozen=True, slots=True)
class Pairing:
    """Samples and objects to be paired, in float32 at least, whatever padding holds made an empty box at the origin.

    boxes: (B, N, 4).  objects: (B, G, 4).  labels, is_object: (B, G).  is_padding: (B, N).  ignore_regions: (B, R, 4).
    levels, predictions: empty where the method does not need them; padding stays what it is in predictions, since
    copies of all scores would be dear.  dtype: of the boxes as they came.
    missed: (B, G) bool, the objects that mining found missed, of no meaning in padding; None: nobody says.
    """

    boxes: Tensor
    objects: Tensor
    labels: Tensor
    is_object: Tensor
    is_padding: Tensor
    ignore_regions: Tensor
    levels: Levels
    predictions: Predictions
    dtype: torch.dtype
    missed: Tensor | None = None

    @classmethod
    def of(
        cls, boxes: Tensor, ground_truth: GroundTruth, is_padding: Tensor | None, levels: Levels, said: Predictions
    ) -> "Pairing":
        safe = at_least_float32(boxes)
        if is_padding is None:
            is_padding = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        else:
            safe = safe.masked_fill(is_padding.unsqueeze(-1), 0)
        objects = ground_truth.boxes.to(safe.dtype).masked_fill(~ground_truth.is_object.unsqueeze(-1), 0)
        regions = ground_truth.ignore_regions.to(safe.dtype)
        labels, is_object = ground_truth.labels, ground_truth.is_object
        of_objects = objects, labels, is_object, is_padding, regions
        return cls(side_by_side(safe), *of_objects, levels, said, boxes.dtype, ground_truth.missed)

    @property
    def points(self) -> Tensor:
        """x and y of the samples' centres, (B, 2, 1, N). Those of padding are not numbers: they lie in no object."""
        return centre_of(self.boxes.mT).masked_fill(self.is_padding.unsqueeze(1), torch.nan).unsqueeze(2)

    @property
    def stride(self) -> Tensor:
        """The stride of each sample's level, (N,)."""
        per_level = zip(self.levels.num_samples, self.levels.strides, strict=True)
        return torch.cat([self.boxes.new_full((count,), stride) for count, stride in per_level])

    def boxes_for(self, box_strides: float | None) -> Tensor:
        """The boxes that stand for the samples, (B, N, 4): their own, or squares of so many strides about their middle.

        Those are for points, which have no boxes; what stands for padding means nothing.
        """
        if box_strides is None:
            return self.boxes
        centre, half = centre_of(self.boxes.mT), self.stride * (box_strides / 2)
        return torch.cat([centre - half, centre + half], dim=1).mT


def _fitting(levels: Levels | None, boxes: Tensor) -> Levels:
    if levels is None or sum(levels.num_samples) != boxes.shape[1] or len(levels.strides) != len(levels.num_samples):
        raise ShapeError(f"expected levels with a stride each and {boxes.shape[1]} samples in all, got {levels}")
    return levels


def _predicted(predictions: Predictions | None, boxes: Tensor) -> Predictions:
    B, N = boxes.shape[:2]
    if predictions is None:
        raise ShapeError("expected predictions, got None")
    shapes = tuple(predictions.boxes.shape), tuple(predictions.scores.shape)
    if shapes[0] != (B, N, 4) or shapes[1][:2] != (B, N):
        raise ShapeError(f"expected predictions of boxes ({B}, {N}, 4) and scores ({B}, {N}, C), got {shapes}")
    return Predictions(side_by_side(at_least_float32(predictions.boxes)), at_least_float32(predictions.scores))


def centre_of(boxes: Tensor) -> Tensor:
    """x and y of the middle of boxes with their coordinates first, (B, 4, ...) -> (B, 2, ...)."""
    lower, upper = boxes.chunk(2, dim=1)
    return (lower + upper) / 2


def insets(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """How far inside the left and top, and the right and bottom sides the points lie, in pixels; negative outside.

    x and y (B, 2, ...) of points, boxes (B, 4, ...) with their coordinates first, that broadcast -> two of (B, 2, ...).
    """
    lower, upper = boxes.chunk(2, dim=1)
    return points - lower, upper - points


def is_inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether the points (B, 2, ...) lie inside all sides of the boxes (B, 4, ...), (B, ...); in empty ones never."""
    lower, upper = boxes.chunk(2, dim=1)
    along_x, along_y = ((points > lower) & (points < upper)).unbind(dim=1)
    return along_x & along_y


def off_centre(points: Tensor, boxes: Tensor) -> Tensor:
    """How far from the middle of the boxes the points lie, in pixels along the farther axis; shapes as `is_inside`."""
    return (points - centre_of(boxes)).abs_().amax(dim=1)


def scores_of(labels: Tensor, scores: Tensor) -> Tensor:
    """What scores (B, N, C) say of the class of each object, (B, G) -> (B, G, N)."""
    return scores.gather(2, labels.unsqueeze(1).expand(-1, scores.shape[1], -1)).transpose(1, 2)


def largest(values: Tensor) -> Tensor:
    """Largest of the last axis, which stays, 1 long; 0 where that axis is empty."""
    return values.amax(dim=-1, keepdim=True) if values.shape[-1] else values.sum(dim=-1, keepdim=True)


def first_claim(index: Tensor, chosen: Tensor, key: Tensor, num_samples: int) -> Tensor:
    """The object that gets each sample, (B, N), BACKGROUND where none chose it: three times (B, G, K).

    index: the samples among which each object chooses.  Of several objects the one with the largest key gets the
    sample; of several such, the first.
    """
    B, G, _ = index.shape
    place, is_out = index.flatten(1), ~chosen
    key = key.masked_fill(is_out, -torch.inf)
    best = key.new_full((B, num_samples), -torch.inf).scatter_reduce(1, place, key.flatten(1), "amax")
    loses = is_out | (key != best.gather(1, place).view_as(key))
    gt = torch.arange(G, device=index.device)[:, None].masked_fill(loses, G)
    first = gt.new_full((B, num_samples), G).scatter_reduce(1, place, gt.flatten(1), "amin")
    return first.masked_fill(first == G, BACKGROUND)
