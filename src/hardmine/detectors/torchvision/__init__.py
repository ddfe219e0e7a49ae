"""torchvision's detectors and segmenters: one adapter each, what they are built of, and the weights they start from."""

from hardmine.detectors.torchvision.adapt import adapt
from hardmine.detectors.torchvision.build import DETECTORS, build
from hardmine.detectors.torchvision.segmenters import SEGMENTERS

__all__ = ["DETECTORS", "SEGMENTERS", "adapt", "build"]
