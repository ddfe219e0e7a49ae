"""Detectors under a recipe: what they all share, and a folder a framework."""

from hardmine.detectors.attach import attach
from hardmine.detectors.build import build
from hardmine.detectors.detector import Detector
from hardmine.detectors.reassign import reassign_missed
from hardmine.detectors.segmenter import Segmenter
from hardmine.detectors.torchvision import DETECTORS, SEGMENTERS
from hardmine.detectors.wrap import wrap

__all__ = ["DETECTORS", "SEGMENTERS", "Detector", "Segmenter", "attach", "build", "reassign_missed", "wrap"]
