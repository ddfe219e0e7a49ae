"""What every assigner is."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from hardmine.boxes import pairwise_overlap_of_second
from hardmine.errors import ShapeError
from hardmine.samples import IGNORE, Assignment, GroundTruth, Levels, Predictions

__all__ = ["Assigner", "AssignerEvidence"]

AssignerEvidence = Literal["levels", "predictions"]
"""What an assigner may need to know beside the boxes and the ground truth."""


class Assigner(nn.Module, ABC):
    """Decides which ground truth each sample belongs to: an object, the background, or nothing that counts."""

    needs: frozenset[AssignerEvidence] = frozenset()
    """The optional arguments of `forward` that the method must be given."""
    on_device: ClassVar[bool] = True
    """False where the method works on the host, which no graph capture can contain."""

    @abstractmethod
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


def fitting(levels: Levels | None, boxes: Tensor) -> Levels:
    """The levels, if they are those of these boxes.

    Raises: ShapeError: they are not, or there are none.
    """
    if levels is None or sum(levels.num_samples) != boxes.shape[1] or len(levels.strides) != len(levels.num_samples):
        raise ShapeError(f"expected levels with a stride each and {boxes.shape[1]} samples in all, got {levels}")
    return levels


def stride_of(boxes: Tensor, levels: Levels) -> Tensor:
    """The stride of each sample's level, (N,)."""
    per_level = zip(levels.num_samples, levels.strides, strict=True)
    return torch.cat([boxes.new_full((count,), stride) for count, stride in per_level])


def settle(
    boxes: Tensor,
    ground_truth: GroundTruth,
    matched_gt: Tensor,
    iou: Tensor,
    *,
    ignore_overlap: float,
    is_padding: Tensor | None,
) -> Assignment:
    """Ignores padding, and negatives with more than ``ignore_overlap`` of their area in one ignore region.

    A positive inside an ignore region stays positive: somebody annotated that object.
    """
    covered = (pairwise_overlap_of_second(ground_truth.ignore_regions, boxes) > ignore_overlap).any(dim=1)
    drop = covered & (matched_gt < 0)
    if is_padding is not None:
        drop = drop | is_padding
        iou = iou.masked_fill(is_padding, 0)
    return Assignment(matched_gt.masked_fill(drop, IGNORE), iou)
