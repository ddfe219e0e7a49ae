"""What a recipe may know of the heads whose framework computes their losses itself, without importing the framework."""

from typing import get_args

from hardmine.assign import AssignerEvidence
from hardmine.core.samples import Activation, Evidence
from hardmine.equation.recipe import HeadTraits

__all__ = ["set_traits", "soft_traits"]

SEEN: frozenset[Evidence] = frozenset(get_args(Evidence)) - {"boxes", "code_error"}
"""What can be said of their samples: points and queries are no boxes before regression."""


def soft_traits(detector: str, num_classes: int) -> HeadTraits:
    """Of a dense head with soft targets from its own assigner (ultralytics' YOLO)."""
    evidence: frozenset[AssignerEvidence] = frozenset(get_args(AssignerEvidence))
    return HeadTraits(detector, "soft", "sigmoid", num_classes, SEEN, assign_evidence=evidence)


def set_traits(detector: str, num_classes: int, activation: Activation = "sigmoid") -> HeadTraits:
    """Of a decoder layer whose queries are matched one to one (DETR and its kin)."""
    return HeadTraits(detector, "set", activation, num_classes, SEEN)
