"""Importance-based sample reweighting: of the positives of a class, those with the best boxes count most."""

from typing import Literal, get_args

import torch
from torch import Tensor

from hardmine.core.boxes import at_least_float32
from hardmine.core.rank_in_groups import hierarchical_local_rank, rank_in_groups
from hardmine.core.samples import IGNORE, Evidence, Samples
from hardmine.errors import ConfigError, check_name
from hardmine.sampling.base import Sampling

__all__ = ["ISR"]

Over = Literal["batch", "image"]
RelativeTo = Literal["largest", "own"]


class ISR(Sampling):
    """Counts a positive the more, the better its place in the IoU hierarchical local rank (IoU-HLR) of its class.

        u = (n_max - r) / n_max,   w = ((1 - β) u + β)^k,   w' = w · Σ ℓ / Σ w ℓ  over positives;   negatives: 1

    Cao, Chen, Loy, Lin, Prime Sample Attention in Object Detection, CVPR 2020, arXiv:1904.04821. r is the rank within
    the class (`ranking.hierarchical_local_rank`): the best box of every object first, among them the largest IoU; then
    the second best of each, and so on. n_max is the size of the largest class. Since Σ w' ℓ = Σ ℓ, positives and
    negatives keep their balance.

    Convention: IoU is that of the predicted box with its object; ranks, n_max and sums are over this rank's batch.
    Gradient: none through w.
    Differs from mmdetection: an object is one group whatever the number of images (there the objects of three or more
    images can share an index, and merge), and where all losses underflow w' = w (there NaN).

    Args: k: degree of preference.  bias: β, the least u.  over: whether images of a batch are ranked together, or each
        by itself.  relative_to: "own" measures u by the size of the sample's own class, as the paper's first version.
    Raises: ConfigError: an argument out of range, or an unknown choice.
    """

    needs: frozenset[Evidence] = frozenset({"labels", "predicted_iou", "classification_loss"})

    def __init__(self, k: float = 2.0, bias: float = 0.0, over: Over = "batch", relative_to: RelativeTo = "largest"):
        super().__init__()
        check_name("over", over, get_args(Over))
        check_name("relative_to", relative_to, get_args(RelativeTo))
        if not k >= 0 or not 0 <= bias <= 1:
            raise ConfigError(f"ISR needs k >= 0 and bias in [0, 1], got {k}, {bias}")
        self.k, self.bias, self.over, self.relative_to = k, bias, over, relative_to
        self.pools_batch = over == "batch"

    def weigh(self, samples: Samples) -> Tensor:
        loss = samples["classification_loss"]
        if loss.numel() == 0:
            return loss
        rows = loss.shape if self.over == "image" else (1, -1)
        evidence = (samples.assignment.is_positive, samples["labels"], samples["predicted_iou"], loss)
        object_of = _object_of(samples.assignment.matched_gt)
        weights = self._of_rows(object_of.reshape(rows), *(one.reshape(rows) for one in evidence))
        return weights.view_as(loss).to(loss.dtype)

    def _of_rows(self, object_of: Tensor, positive: Tensor, labels: Tensor, iou: Tensor, loss: Tensor) -> Tensor:
        loss = torch.where(positive, at_least_float32(loss), 0)
        rank = hierarchical_local_rank(torch.where(positive, iou, 0), object_of, labels)
        num = self._class_size(rank, labels, positive)
        u = torch.where(positive, (num - rank).to(loss.dtype) / num, 0)
        weights = ((1 - self.bias) * u + self.bias) ** self.k
        before, after = loss.sum(-1, keepdim=True), (weights * loss).sum(-1, keepdim=True)
        return torch.where(positive, torch.where(after > 0, before / after, 1) * weights, 1)

    def _class_size(self, rank: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
        """n_max or n_j, of each sample; a class with n samples has ranks 0..n-1."""
        if self.relative_to == "own":
            return rank + rank_in_groups(rank, labels) + 1  # those before it, those after it, and itself
        return torch.where(positive, rank, 0).amax(dim=-1, keepdim=True) + 1


def _object_of(matched_gt: Tensor) -> Tensor:
    """A number for each object of the batch, (B, N); matched_gt numbers those of one image only."""
    image = torch.arange(len(matched_gt), device=matched_gt.device).unsqueeze(-1)
    return image * (matched_gt.amax() - IGNORE + 1) + matched_gt
