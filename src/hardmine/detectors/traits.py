"""What a recipe may know of heads that are alike in every model of their kind, without importing a framework."""

from typing import get_args

from hardmine.assign import AssignerEvidence
from hardmine.core.samples import Activation, Evidence
from hardmine.equation.recipe import HeadTraits

__all__ = ["pixel_traits", "set_traits", "soft_traits"]

SEEN: frozenset[Evidence] = frozenset(get_args(Evidence)) - {"boxes", "code_error"}
"""What can be said of their samples: points and queries are no boxes before regression."""
OF_PIXELS: frozenset[Evidence] = frozenset({"labels", "logits", "classification_loss", "noise", "progress"})
"""What can be said of pixels, which have no boxes."""


def soft_traits(detector: str, num_classes: int) -> HeadTraits:
    """Of a dense head with soft targets from its own assigner (ultralytics' YOLO)."""
    evidence: frozenset[AssignerEvidence] = frozenset(get_args(AssignerEvidence))
    return HeadTraits(detector, "soft", "sigmoid", num_classes, SEEN, assign_evidence=evidence)


def set_traits(detector: str, num_classes: int, activation: Activation = "sigmoid") -> HeadTraits:
    """Of a decoder layer whose queries are matched one to one (DETR and its kin)."""
    return HeadTraits(detector, "set", activation, num_classes, SEEN)


def pixel_traits(detector: str, num_classes: int) -> HeadTraits:
    """Of a segmenter, whose classes include the background."""
    return HeadTraits(detector, "pixels", "softmax", num_classes, OF_PIXELS)
