"""torchvision's RetinaNet."""

from torch import nn

from hardmine.assign import MaxIoU
from hardmine.core.boxes import DeltaCoder
from hardmine.detectors.torchvision.dense import DenseDetector
from hardmine.detectors.torchvision.replaced import RETINANET
from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import Slot, Slots
from hardmine.errors import ConfigError
from hardmine.losses import Focal, GIoU, RegressionLoss, SmoothL1
from hardmine.sampling import All

__all__ = ["RetinaNetDetector"]


class RetinaNetDetector(DenseDetector):
    """RetinaNet under a recipe; by default focal loss and L1 (GIoU in its v2), divided image by image."""

    name = "retinanet"
    replaced = RETINANET
    activation = "sigmoid"
    label_offset = 0

    @property
    def num_classes(self) -> int:
        return self.number_at("head.classification_head.num_classes")

    def classification_layer(self) -> tuple[nn.Module, int]:
        return self.model.head.classification_head.cls_logits, self.num_classes

    def coder(self) -> DeltaCoder:
        return DeltaCoder(self.model.head.regression_head.box_coder.weights)  # the model's own is for inference

    def default_assigner(self) -> MaxIoU:
        matcher = self.model.proposal_matcher
        force = "keep" if matcher.allow_low_quality_matches else "off"
        return MaxIoU(matcher.high_threshold, matcher.low_threshold, force_match=force)

    def default_slots(self) -> Slots:
        per_image = PerPositive(over="image")
        return {
            "select": Slot(All()),
            "classify": Slot(All(), Focal(2.0, 0.25), per_image),
            "regress": Slot(All(), self._box_loss(), per_image),
        }

    def _box_loss(self) -> RegressionLoss:
        known = {"l1": SmoothL1(0.0), "smooth_l1": SmoothL1(1.0), "giou": GIoU()}
        kind = self.model.head.regression_head._loss_type
        if kind not in known:
            raise ConfigError(f"this RetinaNet's box loss is {kind!r}; known are {', '.join(known)}")
        return known[kind]
