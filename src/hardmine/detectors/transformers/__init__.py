"""Detectors of transformers: which criterion each has, the recipe in it, their own Trainer and ours."""

from hardmine.detectors.transformers.build import build
from hardmine.detectors.transformers.detector import adapt
from hardmine.detectors.transformers.training import attach

__all__ = ["adapt", "attach", "build"]
