"""Which adapter a model of torchvision gets."""

from typing import Any

from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.ssd import SSD
from torchvision.models.segmentation import FCN, LRASPP, DeepLabV3

from hardmine.detectors.torchvision.cascade import CascadeRCNN
from hardmine.detectors.torchvision.cascade_detector import CascadeRCNNDetector
from hardmine.detectors.torchvision.detector import TorchvisionDetector
from hardmine.detectors.torchvision.fast_rcnn import FastRCNN
from hardmine.detectors.torchvision.fast_rcnn_detector import FastRCNNDetector
from hardmine.detectors.torchvision.faster_rcnn import FasterRCNNDetector
from hardmine.detectors.torchvision.fcos import FCOSDetector
from hardmine.detectors.torchvision.retinanet import RetinaNetDetector
from hardmine.detectors.torchvision.segmentation import TorchvisionSegmenter
from hardmine.detectors.torchvision.ssd import SSDDetector
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["adapt"]

OF_ONE_STAGE = {
    RetinaNet: RetinaNetDetector,
    SSD: SSDDetector,
    FCOS: FCOSDetector,
    LRASPP: TorchvisionSegmenter,
    DeepLabV3: TorchvisionSegmenter,
    FCN: TorchvisionSegmenter,
}


def adapt(model: Any, recipe: Recipe, *, two_pass: bool = True) -> TorchvisionDetector | TorchvisionSegmenter:
    """The model under the recipe. Raises ConfigError: a kind of model that is not adapted."""
    for kind, adapter in OF_ONE_STAGE.items():
        if isinstance(model, kind):
            return adapter(model, recipe)
    match model:
        case CascadeRCNN():
            return CascadeRCNNDetector(model, recipe, two_pass=two_pass)
        case FastRCNN():
            return FastRCNNDetector(model, recipe, two_pass=two_pass)
        case FasterRCNN():
            return FasterRCNNDetector(model, recipe, two_pass=two_pass)
    raise ConfigError(
        f"got {type(model).__module__}.{type(model).__name__}; "
        f"expected torchvision's FasterRCNN, RetinaNet, SSD or FCOS, or its LRASPP, DeepLabV3 or FCN"
    )
