"""Methods as their papers have them, for those whose code cannot be installed: loops where the authors loop."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EqualizedFocal", "average_precision", "bucketed_average_precision", "bucketed_rank_and_sort",
           "localisation_recall_precision", "ohem", "pixel_ohem", "rank_and_sort", "score_hlr"]  # fmt: skip


class EqualizedFocal(nn.Module):
    """EFL (arXiv:2201.02593) on all classes at once, with the gradients that it collects."""

    def __init__(self, num_classes: int, gamma: float = 2.0, alpha: float = 0.25, scale: float = 8.0):
        super().__init__()
        self.gamma, self.alpha, self.scale = gamma, alpha, scale
        self.sums = torch.zeros(2, num_classes)
        self.ratio = torch.full((num_classes,), 100.0)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        target = F.one_hot(labels.clamp_min(0), logits.shape[-1]) * (labels >= 0).unsqueeze(-1)
        focusing = (self.gamma + self.scale * (1 - self.ratio.clamp(max=1))).expand_as(logits)
        probability = logits.sigmoid()
        right = probability * target + (1 - probability) * (1 - target)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
        loss = cross_entropy * (1 - right) ** focusing * (focusing / self.gamma)
        loss = loss * (self.alpha * target + (1 - self.alpha) * (1 - target))
        self._collect(torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0].abs(), target)
        return loss.sum()

    def _collect(self, gradient: Tensor, target: Tensor) -> None:
        self.sums += torch.stack([(gradient * target).sum(0), (gradient * (1 - target)).sum(0)])
        self.ratio = self.sums[0] / (self.sums[1] + 1e-10)


class _ErrorDriven(torch.autograd.Function):
    """Scores with the loss and the gradient that a loop over the positives found."""

    @staticmethod
    def forward(ctx, scores: Tensor, value: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx, outer: Tensor):
        return ctx.saved_tensors[0] * outer, None, None


def _split(logits: Tensor, labels: Tensor, delta: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Places and scores of the positives, and of the negatives that can be above any of them."""
    target = torch.zeros_like(logits, dtype=torch.bool)
    positive = (labels >= 0).nonzero().squeeze(-1)
    target[positive, labels[positive]] = True
    scores, target = logits.detach().flatten(), target.flatten()
    foreground = target.nonzero().squeeze(-1)
    own = scores[foreground]
    background = (~target & (scores >= own.min() - delta)).nonzero().squeeze(-1)
    return foreground, own, background, scores[background]


def _step(differences: Tensor, delta: float) -> Tensor:
    return differences.div_(2 * delta).add_(0.5).clamp_(0, 1)


def _loss(logits: Tensor, value: Tensor, foreground: Tensor, up: Tensor, background: Tensor, down: Tensor) -> Tensor:
    gradient = torch.zeros_like(logits).flatten()
    gradient[foreground], gradient[background] = up, down
    return _ErrorDriven.apply(logits, value, gradient.view_as(logits))


def average_precision(logits: Tensor, labels: Tensor, iou: Tensor, box_loss: Tensor, delta: float = 1.0) -> Tensor:  # noqa: ARG001
    """AP loss (arXiv:1904.06373): from the lowest positive up, with interpolated precision."""
    foreground, own, background, others = _split(logits, labels, delta)
    up, down, best = torch.zeros_like(own), torch.zeros_like(others), torch.zeros(())
    for i in own.argsort():
        above = _step(others - own[i], delta)
        true = _step(own - own[i], delta).sum() + 0.5
        precision = true / (true + above.sum())
        share = above / (true + above.sum())
        if precision >= best:
            best = precision
        else:
            share *= (1 - best) / (1 - precision)
        up[i] = best - 1
        down += share
    return _loss(logits, -up.mean(), foreground, up / len(own), background, down / len(own))


def localisation_recall_precision(
    logits: Tensor, labels: Tensor, iou: Tensor, box_loss: Tensor, delta: float = 1.0  # noqa: ARG001
) -> Tensor:  # fmt: skip
    """aLRP loss (arXiv:2009.13592), its classification part."""
    foreground, own, background, others = _split(logits, labels, delta)
    error_of_box = box_loss[labels >= 0]
    up, down, value = torch.zeros_like(own), torch.zeros_like(others), torch.zeros(())
    for i in range(len(own)):
        above, positives = _step(others - own[i], delta), _step(own - own[i], delta)
        positives[i] = 0
        false = above.sum()
        rank = positives.sum() + 1 + false
        value = value + false / rank
        if false > 1e-5:
            error = (false + (positives * error_of_box).sum()) / rank
            up[i] = -error
            down += above * (error / false)
    return _loss(logits, value / len(own), foreground, up / len(own), background, down / len(own))


def rank_and_sort(logits: Tensor, labels: Tensor, iou: Tensor, box_loss: Tensor, delta: float = 0.5) -> Tensor:  # noqa: ARG001
    """RS loss (arXiv:2107.11669)."""
    foreground, own, background, others = _split(logits, labels, delta)
    quality = iou[labels >= 0]
    up, down, value = torch.zeros_like(own), torch.zeros_like(others), torch.zeros(())
    for i in range(len(own)):
        above, positives = _step(others - own[i], delta), _step(own - own[i], delta)
        false = above.sum()
        rank = positives.sum()
        ranking = false / (rank + false)
        worse = positives * (quality < quality[i])
        wanted = positives - worse
        sorting = (positives * (1 - quality)).sum() / rank - (wanted * (1 - quality)).sum() / wanted.sum()
        value = value + ranking + sorting
        up[i] -= ranking + sorting
        if false > 0:
            down += above * (ranking / false)
        if worse.sum() > 0:
            up += worse * (sorting / worse.sum())
    return _loss(logits, value / len(own), foreground, up / len(own), background, down / len(own))


def _buckets(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All scores sorted, and negatives between two neighbouring positives taken as one at their mean."""
    _, order = torch.cat([own, others]).sort(descending=True)
    is_positive = order < len(own)
    bucket = is_positive.cumsum(0)[~is_positive]
    members = order[~is_positive] - len(own)
    size = torch.zeros(len(own) + 1).scatter_add_(0, bucket, torch.ones(len(bucket)))
    mean = torch.zeros(len(own) + 1).scatter_add_(0, bucket, others[members]) / size.clamp_min(1)
    return size, mean, bucket, members


def bucketed_average_precision(
    logits: Tensor, labels: Tensor, iou: Tensor, box_loss: Tensor, delta: float = 1.0  # noqa: ARG001
) -> Tensor:  # fmt: skip
    """AP loss on buckets (arXiv:2407.14204), without interpolation."""
    foreground, own, background, others = _split(logits, labels, delta)
    size, mean, bucket, members = _buckets(own, others)
    above = _step(mean - own[:, None], delta) * size  # (P, P + 1)
    true, false = _step(own - own[:, None], delta).sum(1) + 0.5, above.sum(1)
    error = false / (true + false)
    share = (above * (error / false.clamp_min(1e-9))[:, None]).sum(0) / size.clamp_min(1)
    down = torch.zeros_like(others).scatter(0, members, share[bucket])
    return _loss(logits, error.mean(), foreground, -error / len(own), background, down / len(own))


def bucketed_rank_and_sort(
    logits: Tensor, labels: Tensor, iou: Tensor, box_loss: Tensor, delta: float = 0.5  # noqa: ARG001
) -> Tensor:  # fmt: skip
    """RS loss on buckets (arXiv:2407.14204)."""
    foreground, own, background, others = _split(logits, labels, delta)
    size, mean, bucket, members = _buckets(own, others)
    quality = iou[labels >= 0]
    above, positives = _step(mean - own[:, None], delta) * size, _step(own - own[:, None], delta)
    rank, false = positives.sum(1), above.sum(1)
    ranking = false / (rank + false)
    worse = positives * (quality < quality[:, None])
    wanted = positives - worse
    sorting = (positives * (1 - quality)).sum(1) / rank - (wanted * (1 - quality)).sum(1) / wanted.sum(1)
    up = (worse * (sorting / worse.sum(1).clamp_min(1e-9))[:, None]).sum(0) - ranking - sorting
    share = (above * (ranking / false.clamp_min(1e-9))[:, None]).sum(0) / size.clamp_min(1)
    down = torch.zeros_like(others).scatter(0, members, share[bucket])
    return _loss(logits, (ranking + sorting).mean(), foreground, up / len(own), background, down / len(own))


def ohem(boxes: np.ndarray, loss: np.ndarray, labels: np.ndarray, budget: int, iou: float) -> Tensor:
    """OHEM (arXiv:1604.03540) of one image: greedy NMS by loss in each label, then the hardest."""
    kept = np.concatenate([_nms(boxes, loss, np.flatnonzero(labels == label), iou) for label in np.unique(labels)])
    hardest = kept[np.argsort(-loss[kept])[:budget]]
    return torch.zeros(len(loss)).index_fill(0, torch.from_numpy(hardest), 1)


def _nms(boxes: np.ndarray, score: np.ndarray, some: np.ndarray, iou: float) -> np.ndarray:
    order, kept = some[np.argsort(-score[some], kind="stable")], []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        lower, upper = np.maximum(boxes[first, :2], boxes[rest, :2]), np.minimum(boxes[first, 2:], boxes[rest, 2:])
        shared = np.clip(upper - lower, 0, None).prod(1)
        order = rest[shared / (area[first] + area[rest] - shared) <= iou]
    return np.array(kept)


def score_hlr(
    boxes: Tensor, logits: Tensor, loss: Tensor, matched: Tensor, num: int, iou: float = 0.5, power: float = 0.5
) -> Tensor:  # fmt: skip
    """Score-HLR (arXiv:1904.04821) of one image's negatives: clusters by NMS, ranked first in and then over them."""
    kept = torch.zeros(len(loss))
    positive = (matched >= 0).nonzero().squeeze(-1)
    positive = positive[torch.randperm(len(positive))[: num // 4]]
    kept[positive] = 1
    negative = (matched == -1).nonzero().squeeze(-1)
    quota = num - len(positive)
    score = logits[negative].softmax(-1)[:, :-1].amax(-1)
    valid = (score > 0.05).nonzero().squeeze(-1)
    rank_key = torch.zeros(len(valid))
    for cluster in _clusters(boxes[negative[valid]].numpy(), score[valid].numpy(), iou):
        rank_key[cluster] = len(valid) - torch.arange(len(cluster)).float() + score[valid[cluster]]
    order = rank_key.argsort(descending=True)[:quota]
    chosen = negative[valid[order]]
    weight = ((max(num, len(valid)) - torch.arange(len(order)).float()) / max(num, len(valid))) ** power
    rest = torch.ones(len(negative), dtype=torch.bool).index_fill(0, valid[order], False).nonzero().squeeze(-1)
    filled = negative[rest[torch.randperm(len(rest))[: quota - len(order)]]]
    chosen = torch.cat([chosen, filled])
    weight = torch.cat([weight, weight[-1:].expand(len(filled))]) if len(weight) else torch.ones(len(filled))
    kept[chosen] = weight * loss[chosen].sum() / (weight * loss[chosen]).sum()
    return kept


def _clusters(boxes: np.ndarray, score: np.ndarray, iou: float) -> list[Tensor]:
    order, found = np.argsort(-score, kind="stable"), []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order):
        first = order[0]
        lower, upper = np.maximum(boxes[first, :2], boxes[order, :2]), np.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = np.clip(upper - lower, 0, None).prod(1)
        near = shared / (area[first] + area[order] - shared) >= iou
        near[0] = True
        found.append(torch.from_numpy(order[near]))
        order = order[~near]
    return found


def pixel_ohem(logits: Tensor, labels: Tensor, threshold: float, min_kept: int) -> Tensor:
    """OHEM of pixels as segmentation code bases have it: sort the probabilities of all labels for a threshold."""
    probability = logits.softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
    ordered = probability.flatten().sort().values
    least = ordered[min(min_kept * len(labels), ordered.numel() - 1)]
    return (probability < torch.maximum(least, torch.tensor(threshold))).float()
