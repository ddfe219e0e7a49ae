"""Putting a recipe on a detector."""

from typing import Any

from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.ssd import SSD

from hardmine.detectors.detector import Detector
from hardmine.detectors.torchvision.faster_rcnn import FasterRCNNDetector
from hardmine.detectors.torchvision.fcos import FCOSDetector
from hardmine.detectors.torchvision.retinanet import RetinaNetDetector
from hardmine.detectors.torchvision.ssd import SSDDetector
from hardmine.errors import ConfigError
from hardmine.recipes import Recipe

__all__ = ["wrap"]


def wrap(model: Any, recipe: Recipe, *, two_pass: bool = True) -> Detector:
    """The detector under the recipe: an ``nn.Module`` around the model, which is neither copied nor changed.

        detector = hardmine.wrap(torchvision_model, hardmine.recipes.ohem(budget=64))
        losses = detector(images, targets)         # in training mode, under the framework's own names
        detections = detector.eval()(images)       # the model's own

    What torchvision computes its losses with is replaced: a subclass that overrides one of these methods, a function
    put in the place of one, or a hook on one is refused, as it would not be called (list: torchvision/replaced.py).

    Args: model: torchvision's RetinaNet, FCOS, SSD (SSDLite), Faster R-CNN, Mask R-CNN or Keypoint R-CNN; of the last
        two a recipe changes what the boxes learn, masks and keypoints learn as ever.
        two_pass: for Faster R-CNN, see `FasterRCNNDetector`; other detectors take no notice.
    Raises: ConfigError: another kind of model, one with methods of its own that would not be called, or a recipe that
        fills unknown slots.
        EvidenceError: a recipe that needs evidence this detector does not have.
    """
    match model:
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
