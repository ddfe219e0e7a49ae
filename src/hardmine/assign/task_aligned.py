"""Task-aligned assignment: an object belongs to the samples that both name and outline it best."""

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, first_claim, is_inside, largest, scores_of
from hardmine.core.boxes import pairwise_iou
from hardmine.core.rank_in_groups import top_set
from hardmine.core.samples import Assignment
from hardmine.errors import ConfigError

__all__ = ["TaskAligned"]

RankOver = Literal["inside", "all"]


class TaskAligned(Assigner):
    """Gives each object the k samples with centre inside it whose prediction fits it best, class and box together.

        t = s^alpha · u^beta       s: score of the object's class,  u: IoU of the predicted box with the object
        quality = t · (largest u / largest t) over the object's own samples

    Feng, Zhong, Gao, Scott, Huang, TOOD: Task-aligned One-stage Object Detection, ICCV 2021, arXiv:2108.07755 ("TAL").

    Convention: a sample that several objects chose belongs to the one that its predicted box overlaps most, then to
    the first. Of samples that fit equally well the first are chosen; one with t = 0 never is. No ignore band.
    ``Assignment.iou`` is that of the boxes before regression, as for every assigner.
    Gradient: none.
    Differs from mmdetection and the authors' code: samples with centre outside the object are set aside before the k
    best are taken (so does ultralytics). There they take a place first and lose it then, so that an object may end with
    a few samples or none; ``rank_over="all"`` does that.

    Args: k: samples of an object, at least 1.  alpha, beta: at least 0.  rank_over: among which samples the k best are
        looked for, "inside" or "all".  ignore_overlap, chunk: see `Assigner`.
    Raises: ConfigError: an argument out of range.  ShapeError: without fitting predictions.
    """

    needs: frozenset[AssignerEvidence] = frozenset({"predictions"})

    def __init__(
        self,
        k: int = 13,
        alpha: float = 1.0,
        beta: float = 6.0,
        rank_over: RankOver = "inside",
        ignore_overlap: float = 0.5,
        chunk: int | None = None,
    ):
        super().__init__(ignore_overlap, chunk)
        if k < 1 or not (alpha >= 0 and beta >= 0):
            raise ConfigError(f"TaskAligned needs k >= 1, alpha >= 0 and beta >= 0, got {k}, {alpha}, {beta}")
        if rank_over not in get_args(RankOver):
            raise ConfigError(f"TaskAligned rank_over must be one of {get_args(RankOver)}, got {rank_over!r}")
        self.k, self.alpha, self.beta, self.rank_over = k, alpha, beta, rank_over

    def match(self, pairing: Pairing) -> Assignment:
        points, parts = pairing.points, self.chunks(pairing.objects.shape[1], pairing.is_padding)
        best = [self._best(pairing, points, part) for part in parts]
        index, fit, iou = (torch.cat(pieces, dim=1) for pieces in zip(*best, strict=True))  # (B, G, K)
        matched = first_claim(index, fit > 0, iou, pairing.boxes.shape[1])
        quality = _quality(index, fit, iou, matched)
        return replace(self.settle(pairing, matched), quality=quality.to(pairing.dtype))

    def _best(self, pairing: Pairing, points: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """The best samples of some objects, how well each fits, 0 for none, and IoU of the prediction, (B, G, K)."""
        objects, said = pairing.objects[:, part], pairing.predictions
        iou = pairwise_iou(objects, said.boxes)  # (B, chunk, N)
        alignment = iou.square().pow(self.beta / 2)  # of the paper's 6 only products are left
        fit = alignment.mul_(scores_of(pairing.labels[:, part], said.scores).pow(self.alpha))
        allowed = torch.where(is_inside(points, objects.mT.unsqueeze(-1)), fit, 0)
        ranked = allowed if self.rank_over == "inside" else fit.masked_fill(pairing.is_padding.unsqueeze(1), 0)
        index = top_set(ranked, self.k)
        return index, allowed.gather(2, index), iou.gather(2, index)


def _quality(index: Tensor, fit: Tensor, iou: Tensor, matched: Tensor) -> Tensor:
    """The fit of each positive, rescaled so that an object's largest is its largest IoU; (B, G, K) -> (B, N)."""
    owner = matched.gather(1, index.flatten(1)).view_as(index)
    foreign = owner != torch.arange(index.shape[1], device=index.device)[:, None]
    fit, iou = fit.masked_fill(foreign, 0), iou.masked_fill(foreign, 0)
    best = largest(fit)
    scaled = fit / best.masked_fill(best <= 0, 1) * largest(iou)
    nothing = fit.new_zeros(matched.shape)
    return nothing.scatter_reduce(1, index.flatten(1), scaled.flatten(1), "amax")
