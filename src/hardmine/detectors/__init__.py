"""Detectors: torchvision's, each with its losses taken over by a recipe, and how to build one."""

from hardmine.detectors.build import DETECTORS, build
from hardmine.detectors.detector import Detector
from hardmine.detectors.torchvision.dense import DenseDetector
from hardmine.detectors.wrap import wrap

__all__ = ["DETECTORS", "DenseDetector", "Detector", "build", "wrap"]
