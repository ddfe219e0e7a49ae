"""torchvision's detectors: one adapter each, what they are built of, and the weights they start from."""

from hardmine.detectors.torchvision.adapt import adapt
from hardmine.detectors.torchvision.build import DETECTORS, build

__all__ = ["DETECTORS", "adapt", "build"]
