"""Score-HLR sampling, as in PISA: of each cluster of near-equal detections first the one with the highest score."""

import math
from typing import get_args

import torch
from torch import Tensor

from hardmine.core.boxes import at_least_float32, pairwise_iou, side_by_side, survives_nms
from hardmine.core.rank_in_groups import draw_among, hierarchical_local_rank, top_indices
from hardmine.core.samples import Activation, Evidence, Samples
from hardmine.errors import ConfigError, check_name
from hardmine.sampling.base import QuotaSampling

__all__ = ["ScoreHLR"]

CHUNK = 32  # leaders compared with all others at once: bounds the memory, and is faster than all with all


class ScoreHLR(QuotaSampling):
    """Keeps the samples of highest rank, and counts each by its rank: hard and soft sampling at once.

        s = max over classes of p;   r = rank of s in its cluster, then of (r, s) over the image;   n of these
        u = (max(num, n) - r) / max(num, n),   w = ((1 - bias) u + bias)^k,   w' = w · Σ ℓ / Σ w ℓ  over what is kept

    A cluster is a box that survives NMS, by score, and what it suppresses. Samples with s <= min_score take no part;
    they fill places that are left, at random, with the smallest weight that the others have. w' keeps the loss of
    the image as it is.
    Cao, Chen, Loy, Lin, Prime Sample Attention in Object Detection, CVPR 2020, arXiv:1904.04821,
    ISR-N; there for negatives of the second stage: ``Combined(Random(), ScoreHLR())``.

    Convention: clusters are of predicted boxes whatever their class, at IoU >= cluster_iou. k = 0 is hard sampling.
    Gradient: none through the weights.
    Differs from mmdetection: all images at once; an image without negatives leaves the weights of the others alone;
    where the kept loss is 0, w' = w; of equal scores the first comes first.

    Args: k, bias: how steeply weight falls with rank, and what share of it is sure.  activation: of the logits.
        candidates: only this many samples of an image, those of highest score, are clustered.
    Raises: ConfigError: an argument out of range.
    """

    needs: frozenset[Evidence] = frozenset({"logits", "predicted_boxes", "classification_loss", "noise"})
    on_device = False  # NMS

    def __init__(
        self,
        num: int = 512,
        k: float = 0.5,
        bias: float = 0.0,
        min_score: float = 0.05,
        cluster_iou: float = 0.5,
        activation: Activation = "softmax",
        candidates: int = 1000,
    ):
        super().__init__(num)
        check_name("activation", activation, get_args(Activation))
        if not k >= 0 or not 0 <= bias <= 1 or not 0 <= min_score < 1 or not 0 < cluster_iou <= 1 or candidates < 1:
            raise ConfigError(
                f"ScoreHLR needs k >= 0, bias in [0, 1], min_score in [0, 1), cluster_iou in (0, 1] and "
                f"candidates >= 1, got {k}, {bias}, {min_score}, {cluster_iou}, {candidates}"
            )
        self.k, self.bias, self.min_score, self.cluster_iou = k, bias, min_score, cluster_iou
        self.activation, self.candidates = activation, candidates

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        score = torch.where(candidates, self._score(samples["logits"]), 0)
        cluster = self._clusters(score, samples["predicted_boxes"])
        ranked = candidates & (cluster >= 0)
        rank = hierarchical_local_rank(score, cluster, ranked.long())
        best = ranked & (rank < quota)
        num_best = best.sum(dim=-1, keepdim=True)
        others = draw_among(samples["noise"], candidates & ~ranked, quota - num_best, most)
        rank = torch.where(best, rank, (num_best - 1).clamp_min(0)).to(score.dtype)
        weight = self._weight(rank, torch.maximum(quota, ranked.sum(dim=-1, keepdim=True)).clamp_min(1))
        loss = samples["classification_loss"]
        return _keeping_the_sum(torch.where(best | others, weight, 0), loss).to(loss.dtype)

    def _score(self, logits: Tensor) -> Tensor:
        """Largest probability of a foreground class, (B, N)."""
        logits = at_least_float32(logits)
        if self.activation == "sigmoid":
            return logits.amax(dim=-1).sigmoid()
        return logits.softmax(dim=-1)[..., :-1].amax(dim=-1)

    def _clusters(self, score: Tensor, boxes: Tensor) -> Tensor:
        """Number of the cluster that each sample is in, (B, N) int64; -1 for those that take no part."""
        eligible = torch.where(score > self.min_score, score, -torch.inf)
        index = top_indices(eligible, self.candidates)  # (B, K), best first
        best = eligible.gather(1, index)
        takes_part = best > self.min_score
        boxes = at_least_float32(boxes).gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
        boxes = side_by_side(boxes.masked_fill(~takes_part.unsqueeze(-1), 0))
        leaders = _leaders(boxes, best, self.cluster_iou)
        return torch.full_like(score, -1, dtype=torch.long).scatter(1, index, torch.where(takes_part, leaders, -1))

    def _weight(self, rank: Tensor, num: Tensor) -> Tensor:
        return ((1 - self.bias) * (num - rank) / num + self.bias) ** self.k


def _leaders(boxes: Tensor, score: Tensor, iou: float) -> Tensor:
    """Place (B, K) of the first box that survives NMS and overlaps each of these, which come best first, by ``iou``."""
    labels = torch.zeros_like(score, dtype=torch.long)
    leads = survives_nms(boxes, score, labels, math.nextafter(iou, 0))  # suppresses at iou, not only above it
    place = torch.arange(score.shape[1], dtype=torch.int32, device=score.device)
    first = place.expand_as(score)  # an empty box overlaps nothing, not even itself
    for start in range(0, score.shape[1], CHUNK):
        some = slice(start, start + CHUNK)
        follows = leads[:, some, None] & (pairwise_iou(boxes[:, some], boxes) >= iou)  # (B, leader, follower)
        first = torch.minimum(first, torch.where(follows, place[some, None], score.shape[1]).amin(dim=1))
    return first.long()


def _keeping_the_sum(weights: Tensor, loss: Tensor) -> Tensor:
    """The weights times what makes Σ w ℓ of each image the Σ ℓ over its samples that weigh anything."""
    loss = torch.where(weights > 0, loss.to(weights.dtype), 0)
    before, after = loss.sum(dim=-1, keepdim=True), (weights * loss).sum(dim=-1, keepdim=True)
    return weights * torch.where(after > 0, before / torch.where(after > 0, after, 1), 1)
