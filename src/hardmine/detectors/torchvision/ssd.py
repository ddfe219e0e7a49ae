"""torchvision's SSD and SSDLite."""

from torch import Tensor, nn

from hardmine.assign import MaxIoU
from hardmine.core.boxes import DeltaCoder
from hardmine.detectors.torchvision.dense import DenseDetector
from hardmine.detectors.torchvision.replaced import SSD
from hardmine.equation.normalize import PerPositive
from hardmine.equation.recipe import Slot, Slots
from hardmine.losses import CrossEntropy, SmoothL1
from hardmine.sampling import All, HardNegative

__all__ = ["SSDDetector"]


class SSDDetector(DenseDetector):
    """SSD under a recipe; by default softmax cross entropy on the positives and three times as many hard negatives."""

    name = "ssd"
    replaced = SSD
    activation = "softmax"
    label_offset = 1

    @property
    def num_classes(self) -> int:
        return self.number_at("head.classification_head.num_columns") - 1

    def classification_layer(self) -> tuple[nn.Module, int]:
        return self.model.head.classification_head, self.num_classes + 1

    def coder(self) -> DeltaCoder:
        return DeltaCoder(self.model.box_coder.weights)

    def default_assigner(self) -> MaxIoU:
        iou = self.model.proposal_matcher.high_threshold
        return MaxIoU(iou, iou, force_match="take_one")

    def default_slots(self) -> Slots:
        return {
            "select": Slot(HardNegative(self.model.neg_to_pos_ratio, min_negatives=0)),
            "classify": Slot(All(), CrossEntropy("softmax"), PerPositive()),
            "regress": Slot(All(), SmoothL1(1.0), PerPositive()),
        }

    def class_scores(self, outputs: dict[str, Tensor]) -> Tensor:
        return outputs["cls_logits"].roll(-1, dims=-1)  # background from the first column to the last
