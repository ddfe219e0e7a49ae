"""ultralytics' YOLO: a recipe in its losses, in its own trainer or in a loop of one's own."""

from hardmine.detectors.ultralytics.build import build
from hardmine.detectors.ultralytics.detector import adapt
from hardmine.detectors.ultralytics.training import attach

__all__ = ["adapt", "attach", "build"]
