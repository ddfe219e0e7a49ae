"""What every assigner is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from hardmine.boxes import at_least_float32, pairwise_iou, pairwise_overlap_of_second, side_by_side
from hardmine.errors import ConfigError, ShapeError
from hardmine.samples import BACKGROUND, IGNORE, Assignment, GroundTruth, Levels, Predictions

__all__ = ["Assigner", "AssignerEvidence"]

AssignerEvidence = Literal["levels", "predictions"]
"""What an assigner may need to know beside the boxes and the ground truth."""
NO_LEVELS = Levels((), (), ())
CHUNK_PAIRS = 1 << 20
"""Pairs of an object and a sample, over the batch, that are compared at a time where no ``chunk`` is given."""


class Assigner(nn.Module, ABC):
    """Decides which ground truth each sample belongs to: an object, the background, or nothing that counts.

    Args: ignore_overlap: a negative with more than this share of its area in one ignore region is ignored.
        chunk: ground truths compared at a time; memory is O(B · N · chunk). None: as many as keep that bounded.
    Raises: ConfigError: an argument out of range.
    """

    needs: frozenset[AssignerEvidence] = frozenset()
    """The optional arguments of `forward` that the method must be given."""
    on_device: ClassVar[bool] = True
    """False where the method works on the host, which no graph capture can contain."""

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

    def chunks(self, num_objects: int, num_samples: int) -> Iterator[slice]:
        """Parts of the ground truths, or classes, to take at a time with so many samples of the whole batch."""
        step = self.chunk or max(1, CHUNK_PAIRS // max(1, num_samples))
        return (slice(start, min(start + step, num_objects)) for start in range(0, num_objects, step))

    def settle(self, pairing: "Pairing", matched_gt: Tensor, iou: Tensor | None = None) -> Assignment:
        """Ignores padding, and negatives with more than ``ignore_overlap`` of their area in one ignore region.

        A positive inside an ignore region stays positive: somebody annotated that object.
        iou: of each sample with the object it overlaps most, where it is known already.
        """
        if iou is None:
            iou = self._largest_iou(pairing)
        drop = pairing.is_padding
        for part in self.chunks(pairing.ignore_regions.shape[1], matched_gt.numel()):
            share = pairwise_overlap_of_second(pairing.ignore_regions[:, part], pairing.boxes)
            drop = drop | ((share.amax(dim=1) > self.ignore_overlap) & (matched_gt < 0))
        iou = iou.masked_fill(pairing.is_padding, 0).to(pairing.dtype)
        return Assignment(matched_gt.masked_fill(drop, IGNORE), iou)

    def _largest_iou(self, pairing: "Pairing") -> Tensor:
        iou = torch.zeros_like(pairing.boxes[..., 0])
        for part in self.chunks(pairing.objects.shape[1], iou.numel()):
            iou = torch.maximum(iou, pairwise_iou(pairing.objects[:, part], pairing.boxes).amax(dim=1))
        return iou


@dataclass(frozen=True, slots=True)
class Pairing:
    """Samples and objects to be paired, in float32 at least, whatever padding holds made an empty box at the origin.

    boxes: (B, N, 4).  objects: (B, G, 4).  labels, is_object: (B, G).  is_padding: (B, N).  ignore_regions: (B, R, 4).
    levels, predictions: empty where the method does not need them; padding stays what it is in predictions, since
    copies of all scores would be dear.  dtype: of the boxes as they came.
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

    @classmethod
    def of(
        cls, boxes: Tensor, ground_truth: GroundTruth, is_padding: Tensor | None, levels: Levels, said: Predictions
    ) -> "Pairing":
        if is_padding is None:
            is_padding = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        safe = side_by_side(at_least_float32(boxes).masked_fill(is_padding.unsqueeze(-1), 0))
        objects = ground_truth.boxes.to(safe.dtype).masked_fill(~ground_truth.is_object.unsqueeze(-1), 0)
        regions = ground_truth.ignore_regions.to(safe.dtype)
        labels, is_object = ground_truth.labels, ground_truth.is_object
        return cls(safe, objects, labels, is_object, is_padding, regions, levels, said, boxes.dtype)

    @property
    def stride(self) -> Tensor:
        """The stride of each sample's level, (N,)."""
        per_level = zip(self.levels.num_samples, self.levels.strides, strict=True)
        return torch.cat([self.boxes.new_full((count,), stride) for count, stride in per_level])


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


def centre_of(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the middle of boxes (..., 4), (...) each."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 + x2) / 2, (y1 + y2) / 2


def margin(x: Tensor, y: Tensor, boxes: Tensor) -> Tensor:
    """How far inside the boxes (..., 4) the points lie, in pixels to the nearest side; negative outside."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    across = torch.minimum(x - x1, x2 - x)
    return torch.minimum(across, torch.minimum(y - y1, y2 - y))


def off_centre(x: Tensor, y: Tensor, boxes: Tensor) -> Tensor:
    """How far from the middle of the boxes (..., 4) the points lie, in pixels along the axis where it is more."""
    middle_x, middle_y = centre_of(boxes)
    return torch.maximum((x - middle_x).abs(), (y - middle_y).abs())


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
    B, G, K = index.shape
    place, key = index.flatten(1), key.masked_fill(~chosen, -torch.inf).flatten(1)
    best = key.new_full((B, num_samples), -torch.inf).scatter_reduce(1, place, key, "amax")
    wins = chosen.flatten(1) & (key == best.gather(1, place))
    gt = torch.arange(G, device=index.device).repeat_interleave(K).expand(B, -1)
    first = gt.new_full((B, num_samples), G).scatter_reduce(1, place, torch.where(wins, gt, G), "amin")
    return torch.where(first < G, first, BACKGROUND)
