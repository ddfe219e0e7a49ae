"""Which adapter a model of torchvision gets."""

from typing import Any

from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.ssd import SSD

from hardmine.detectors.torchvision.cascade import CascadeRCNN
from hardmine.detectors.torchvision.cascade_detector import CascadeRCNNDetector
from hardmine.detectors.torchvision.detector import TorchvisionDetector
from hardmine.detectors.torchvision.fast_rcnn import FastRCNN
from hardmine.detectors.torchvision.fast_rcnn_detector import FastRCNNDetector
from hardmine.detectors.torchvision.faster_rcnn import FasterRCNNDetector
from hardmine.detectors.torchvision.fcos import FCOSDetector
from hardmine.detectors.torchvision.retinanet import RetinaNetDetector
from hardmine.detectors.torchvision.ssd import SSDDetector
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["adapt"]


def adapt(model: Any, recipe: Recipe, *, two_pass: bool = True) -> TorchvisionDetector:
    """The model under the recipe. Raises ConfigError: a kind of model that is not adapted."""
    match model:
        case CascadeRCNN():
            return CascadeRCNNDetector(model, recipe, two_pass=two_pass)
        case FastRCNN():
            return FastRCNNDetector(model, recipe, two_pass=two_pass)
        case FasterRCNN():
            return FasterRCNNDetector(model, recipe, two_pass=two_pass)
        case RetinaNet():
            return RetinaNetDetector(model, recipe)
        case SSD():
            return SSDDetector(model, recipe)
        case FCOS():
            return FCOSDetector(model, recipe)
    raise ConfigError(
        f"got {type(model).__module__}.{type(model).__name__}; "
        f"expected torchvision's FasterRCNN, RetinaNet, SSD or FCOS"
    )
