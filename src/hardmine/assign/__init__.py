"""Assigners: what should sample i predict?"""

from hardmine.assign.base import Assigner, AssignerEvidence
from hardmine.assign.fcos_points import FCOSPoints
from hardmine.assign.max_iou import MaxIoU

__all__ = ["Assigner", "AssignerEvidence", "FCOSPoints", "MaxIoU"]
