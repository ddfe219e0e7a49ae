"""SimOTA assignment: each object takes as many of the cheapest samples as its predictions seem to deserve."""

from collections.abc import Iterator

import torch
from torch import Tensor

from hardmine.assign.base import (
    Assigner,
    AssignerEvidence,
    Pairing,
    first_claim,
    is_inside,
    off_centre,
    scores_of,
)
from hardmine.core.boxes import pairwise_iou
from hardmine.core.rank_in_groups import top_indices
from hardmine.core.samples import BACKGROUND, Assignment
from hardmine.errors import ConfigError

__all__ = ["SimOTA"]


class SimOTA(Assigner):
    """Gives each object the few samples whose predictions would cost least if they belonged to it.

        cost = cls_weight · Σ_c BCE(score_c, 1[c is the object's class]) - iou_weight · ln(u + 1e-7)
        k    = max(1, ⌊sum of the ``candidates`` largest u⌋)          u: IoU of the predicted box with the object

    The k cheapest samples inside the object and within ``center_radius`` strides of its centre are its own; only where
    there are fewer than k, also samples that are but one of these two.

    Ge, Liu, Wang, Li, Sun, YOLOX: Exceeding YOLO Series in 2021, arXiv:2107.08430, section 2.

    Convention: a sample stands for its centre. One that several objects took belongs to the object for which it costs
    least, which may be one that has enough others (as in the authors' code). Ties: the first sample, the first object.
    ``scores`` are the probabilities compared; a head with objectness gives sqrt(class · objectness). The largest u
    are looked for among the samples that lie inside or near any object. The radius is that of mmdetection and of the
    authors' older code; their newer one has 1.5, and asks only for "near". No ignore band. ``Assignment.iou`` is that
    of the boxes before regression, as for every assigner.
    Gradient: none.
    Differs from mmdetection and the authors: an object never takes a sample that is neither inside nor near it, where
    one without any (outside of the image, say) takes another object's; and the samples that are only one of the two
    come after all that are both without adding 1e5 to their cost, which would round their differences away.

    Args: center_radius: in strides.  candidates: at least 1.  iou_weight, cls_weight: at least 0.
        ignore_overlap, chunk: see `Assigner`.
    Raises: ConfigError: an argument out of range.  ShapeError: without fitting levels and predictions.
    """

    needs: frozenset[AssignerEvidence] = frozenset({"levels", "predictions"})

    def __init__(
        self,
        center_radius: float = 2.5,
        candidates: int = 10,
        iou_weight: float = 3.0,
        cls_weight: float = 1.0,
        ignore_overlap: float = 0.5,
        chunk: int | None = None,
    ):
        super().__init__(ignore_overlap, chunk)
        if candidates < 1 or not (center_radius > 0 and iou_weight >= 0 and cls_weight >= 0):
            raise ConfigError(
                f"SimOTA needs center_radius > 0, candidates >= 1, iou_weight >= 0 and cls_weight >= 0, "
                f"got {center_radius}, {candidates}, {iou_weight}, {cls_weight}"
            )
        self.center_radius, self.candidates = center_radius, candidates
        self.iou_weight, self.cls_weight = iou_weight, cls_weight

    def match(self, pairing: Pairing) -> Assignment:
        said, points, reach = pairing.predictions, pairing.points, pairing.stride * self.center_radius
        is_far = ~self._is_candidate(pairing, points, reach)
        nothing = self._cost_of_nothing(said.scores)  # (B, N)
        highest = torch.full_like(nothing, -torch.inf)
        favourite, taken = torch.full_like(is_far, BACKGROUND, dtype=torch.int64), []
        for part in self._parts(pairing):
            iou = pairwise_iou(pairing.objects[:, part], said.boxes)  # (B, chunk, N)
            preference = self._preference(pairing, nothing, _places(pairing, points, reach, part), iou, part)
            taken.append(self._take(preference, iou.masked_fill(is_far.unsqueeze(1), 0)))
            most, gt = preference.max(dim=1)
            favourite = torch.where(most > highest, gt + part.start, favourite)
            highest = torch.maximum(highest, most)
        index, chosen = (torch.cat(pieces, dim=1) for pieces in zip(*taken, strict=True))  # (B, G, K)
        return self.settle(pairing, _one_object_each(index, chosen, favourite))

    def _parts(self, pairing: Pairing) -> Iterator[slice]:
        return self.chunks(pairing.objects.shape[1], pairing.is_padding)

    def _cost_of_nothing(self, scores: Tensor) -> Tensor:
        """What it costs each sample to name no class, (B, N, C) -> (B, N); so each pair only costs what it adds."""
        cost = torch.zeros_like(scores[..., 0])
        for part in self.chunks(scores.shape[-1], cost):
            cost = cost + _minus_log(1 - scores[..., part]).sum(dim=-1)
        return cost

    def _is_candidate(self, pairing: Pairing, points: Tensor, reach: Tensor) -> Tensor:
        """Samples inside or near any object, (B, N)."""
        found = torch.zeros_like(pairing.is_padding)
        for part in self._parts(pairing):
            inside, near = _places(pairing, points, reach, part)
            found = found | (inside | near).any(dim=1)
        return found

    def _preference(
        self, pairing: Pairing, nothing: Tensor, places: tuple[Tensor, Tensor], iou: Tensor, part: slice
    ) -> Tensor:
        """The larger, the rather an object takes a sample, (B, chunk, N); it falls with the cost.

        In (0, 1] where the sample is inside and near, not above 0 where it is one of them, -inf where it is neither.
        """
        score = scores_of(pairing.labels[:, part], pairing.predictions.scores)
        named = nothing.unsqueeze(1) + _minus_log(score) - _minus_log(1 - score)
        cost = (self.cls_weight * named - self.iou_weight * (iou + 1e-7).log()).clamp_min(0)
        inside, near = places
        return torch.where(inside & near, 1 / (1 + cost), (-cost).masked_fill(~(inside | near), -torch.inf))

    def _take(self, preference: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
        """The samples that each object prefers, (B, chunk, K), and which of them it takes."""
        num = iou.topk(min(self.candidates, iou.shape[-1]), dim=-1).values.sum(dim=-1, keepdim=True)
        index = top_indices(preference, self.candidates)
        place = torch.arange(index.shape[-1], device=index.device)
        return index, (place < num.floor().clamp_min(1)) & (preference.gather(-1, index) > -torch.inf)


def _places(pairing: Pairing, points: Tensor, reach: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """Whether each sample is inside some of the objects, and whether it is near their middle, (B, chunk, N) each."""
    objects = pairing.objects[:, part].mT.unsqueeze(-1)
    near = (off_centre(points, objects) < reach) & pairing.is_object[:, part, None]
    return is_inside(points, objects), near


def _minus_log(probability: Tensor) -> Tensor:
    """-ln p, at most 100: a sure and wrong prediction costs much and not infinitely much."""
    return -probability.log().clamp_min(-100)


def _one_object_each(index: Tensor, chosen: Tensor, favourite: Tensor) -> Tensor:
    """The object that took each sample, or, where several did, its favourite; (B, G, K) and (B, N) -> (B, N)."""
    num = torch.zeros_like(favourite).scatter_add(1, index.flatten(1), chosen.flatten(1).long())
    takers = first_claim(index, chosen, torch.zeros_like(index, dtype=torch.float32), favourite.shape[1])
    return torch.where(num > 1, favourite, takers)
