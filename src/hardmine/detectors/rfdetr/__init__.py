"""rfdetr's detectors: the recipe in their criterion, Lightning's training and ours."""

from hardmine.detectors.rfdetr.build import build
from hardmine.detectors.rfdetr.detector import adapt
from hardmine.detectors.rfdetr.training import attach

__all__ = ["adapt", "attach", "build"]
