"""torchvision's FCOS."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.assign import FCOSPoints
from hardmine.core.boxes import DistanceCoder
from hardmine.core.samples import GroundTruth
from hardmine.detectors.torchvision.dense import EVIDENCE, DenseDetector
from hardmine.detectors.torchvision.replaced import FCOS
from hardmine.equation.head import HeadLosses, HeadOutput
from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import Slot, Slots
from hardmine.equation.slot import weighted_sum
from hardmine.losses import Focal, GIoU
from hardmine.sampling import All

__all__ = ["FCOSDetector"]


class FCOSDetector(DenseDetector):
    """FCOS under a recipe; by default focal loss, GIoU, and the mean centre-ness loss of the positives.

    Its samples are points: they have no boxes of their own to compare, and its box codes are distances, many strides
    long, not small corrections of an anchor that losses of codes are made for.
    """

    name = "fcos"
    replaced = FCOS
    activation = "sigmoid"
    evidence = EVIDENCE - {"boxes", "code_error"}
    label_offset = 0

    @property
    def num_classes(self) -> int:
        return self.number_at("head.classification_head.num_classes")

    def classification_layer(self) -> tuple[nn.Module, int]:
        return self.model.head.classification_head.cls_logits, self.num_classes

    def coder(self) -> DistanceCoder:
        return DistanceCoder(self.model.head.box_coder.normalize_by_size)  # the model's own is for inference

    def default_assigner(self) -> FCOSPoints:
        return FCOSPoints(self.model.center_sampling_radius)

    def default_slots(self) -> Slots:
        return {
            "select": Slot(All()),
            "classify": Slot(All(), Focal(2.0, 0.25), PerPositive()),
            "regress": Slot(All(), GIoU(), PerPositive()),
        }

    def further_losses(
        self, outputs: dict[str, Tensor], head: HeadOutput, ground_truth: GroundTruth, losses: HeadLosses
    ) -> dict[str, Tensor]:
        kept, selected = losses.kept, losses.selected
        positive = kept.assignment.is_positive
        sides = self.head.coder.encode(ground_truth.boxes_of(kept.assignment), head.anchors)
        logits = torch.where(positive, outputs["bbox_ctrness"].squeeze(-1).to(sides.dtype), 0)
        target = centerness(torch.where(positive.unsqueeze(-1), sides, 1))
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        loss = torch.where(positive, loss, 0)
        return {"bbox_ctrness": weighted_sum(loss, selected, PerPositive()(kept.assignment, selected))}


def centerness(sides: Tensor) -> Tensor:
    """How central a point lies in its box, (..., 4) distances l, t, r, b -> (...) in [0, 1].

    sqrt( min(l, r) / max(l, r) · min(t, b) / max(t, b) )       (arXiv:1904.01355, eq. 3)

    A point outside, which some assigners take for want of better ones, has 0.
    """
    left, top, right, bottom = sides.clamp_min(0).unbind(-1)
    horizontal = torch.minimum(left, right) / torch.maximum(left, right)
    vertical = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (horizontal * vertical).sqrt()
