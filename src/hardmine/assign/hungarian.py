"""Hungarian assignment: every object gets exactly one prediction, so that the whole costs least."""

from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from hardmine.assign.base import Assigner, AssignerEvidence, Pairing, scores_of
from hardmine.core.boxes import generalized_iou
from hardmine.core.samples import BACKGROUND, Assignment
from hardmine.errors import ConfigError

__all__ = ["Hungarian"]

ClassCost = Literal["focal", "probability"]
WORST = 1e6
"""What a pair costs whose prediction is not a number: nothing can cost more."""


class Hungarian(Assigner):
    """Gives each object one sample, and each sample at most one object, so that the sum of all costs is least.

        cost = cls_weight · c(p) + l1_weight · |b - b_gt|_1 / unit_px - iou_weight · GIoU(b, b_gt)
        c(p) = alpha (1 - p)^gamma (-ln p) - (1 - alpha) p^gamma (-ln(1 - p))        or  -p

    p: score of the object's class.  b: predicted box as centre, width and height.

    Carion et al., End-to-End Object Detection with Transformers, ECCV 2020, arXiv:2005.12872: ``class_cost`` is
    "probability", weights 1, 5, 2. Zhu et al., Deformable DETR, ICLR 2021, arXiv:2010.04159: "focal", the default.

    Convention: where there are fewer samples than objects, the costliest objects go without. No ignore band.
    ``Assignment.iou`` is that of the boxes as given, before regression, as for every assigner.
    Gradient: none.
    Differs from both: they measure boxes in sides of the image, which an assigner here does not know; ``unit_px`` takes
    the place of that side. The matching itself runs on the host (scipy), one synchronisation a batch, with a matrix
    (G, N) an image: it is meant for hundreds of queries, not for a hundred thousand anchors.

    Args: cls_weight, l1_weight, iou_weight: at least 0, one of them more.  unit_px: more than 0.
        ignore_overlap, chunk: see `Assigner`.
    Raises: ConfigError: an argument out of range.  ShapeError: without fitting predictions.
    """

    needs: frozenset[AssignerEvidence] = frozenset({"predictions"})
    on_device: ClassVar[bool] = False

    def __init__(
        self,
        cls_weight: float = 2.0,
        l1_weight: float = 5.0,
        iou_weight: float = 2.0,
        class_cost: ClassCost = "focal",
        alpha: float = 0.25,
        gamma: float = 2.0,
        unit_px: float = 1000.0,
        ignore_overlap: float = 0.5,
        chunk: int | None = None,
    ):
        super().__init__(ignore_overlap, chunk)
        weights = (cls_weight, l1_weight, iou_weight)
        if not all(weight >= 0 for weight in weights) or max(weights) == 0:
            raise ConfigError(f"Hungarian needs weights >= 0, and one of them > 0, got {weights}")
        if not (0 <= alpha <= 1 and gamma >= 0 and unit_px > 0):
            raise ConfigError(
                f"Hungarian needs alpha in [0, 1], gamma >= 0 and unit_px > 0, got {alpha}, {gamma}, {unit_px}"
            )
        if class_cost not in get_args(ClassCost):
            raise ConfigError(f"Hungarian class_cost must be one of {get_args(ClassCost)}, got {class_cost!r}")
        self.cls_weight, self.l1_weight, self.iou_weight = weights
        self.class_cost, self.alpha, self.gamma, self.unit_px = class_cost, alpha, gamma, unit_px

    def match(self, pairing: Pairing) -> Assignment:
        parts = self.chunks(pairing.objects.shape[1], pairing.is_padding)
        cost = torch.cat([self._cost(pairing, part) for part in parts], dim=1)
        is_pair = pairing.is_object.unsqueeze(2) & ~pairing.is_padding.unsqueeze(1)
        cost = cost.masked_fill(~is_pair, torch.inf)
        return self.settle(pairing, _match_on_host(cost))  # pyright: ignore (the decorator hides the types)

    def _cost(self, pairing: Pairing, part: slice) -> Tensor:
        """Of giving each sample to some of the objects, (B, chunk, N)."""
        said = pairing.predictions
        objects, predicted = pairing.objects[:, part].unsqueeze(2), said.boxes.unsqueeze(1)
        left, top, right, bottom = (a - b for a, b in zip(predicted.unbind(-1), objects.unbind(-1), strict=True))
        distance = ((left + right).abs() + (top + bottom).abs()) / 2 + (right - left).abs() + (bottom - top).abs()
        overlap = generalized_iou(predicted, objects)
        named = self._class_cost(scores_of(pairing.labels[:, part], said.scores))
        cost = self.cls_weight * named + self.l1_weight / self.unit_px * distance - self.iou_weight * overlap
        return cost.nan_to_num(WORST, WORST, WORST).clamp(-WORST, WORST)

    def _class_cost(self, score: Tensor) -> Tensor:
        if self.class_cost == "probability":
            return -score
        tiny = 1e-8  # as in the authors' code
        positive = self.alpha * (1 - score).pow(self.gamma) * -(score + tiny).log()
        return positive - (1 - self.alpha) * score.pow(self.gamma) * -(1 - score + tiny).log()


@torch.compiler.disable
def _match_on_host(cost: Tensor) -> Tensor:
    """The object of each sample in the cheapest matching, (B, N), given cost (B, G, N), infinite in padding.

    scipy solves one image at a time.
    """
    # scipy works on the host: the device is waited for once a batch, for all costs, as `on_device` says
    on_host = cost.cpu().numpy()
    matched = np.full((on_host.shape[0], on_host.shape[2]), BACKGROUND)
    for own, image in zip(matched, on_host, strict=True):
        is_pair = np.isfinite(image)
        # of a NumPy array on the host: no device is waited for
        gt, sample = is_pair.any(axis=1).nonzero()[0], is_pair.any(axis=0).nonzero()[0]
        row, column = linear_sum_assignment(image[np.ix_(gt, sample)])
        own[sample[column]] = gt[row]
    return torch.from_numpy(matched).to(cost.device)
