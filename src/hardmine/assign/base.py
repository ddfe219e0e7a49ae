"""What every assigner is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from hardmine.boxes import pairwise_overlap_of_second
from hardmine.samples import IGNORE, Assignment, GroundTruth

__all__ = ["Assigner"]


class Assigner(nn.Module, ABC):
    """Decides which ground truth each sample belongs to: an object, the background, or nothing that counts."""

    @abstractmethod
    def forward(
        self,
        boxes: Tensor,
        ground_truth: GroundTruth,
        *,
        is_padding: Tensor | None = None,
        samples_per_level: Sequence[int] | None = None,
    ) -> Assignment:
        """Matches boxes (B, N, 4) to the ground truth.

        is_padding: (B, N) bool, rows that are not samples; they become IGNORE.
        samples_per_level: how many of the N samples each feature level holds, finest first; assigners that do not look
        at levels take no notice of it.
        """


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
