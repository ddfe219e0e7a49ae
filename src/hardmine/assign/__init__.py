"""Assigners: what should sample i predict?"""

from hardmine.assign.base import Assigner
from hardmine.assign.fcos_points import FCOSPoints
from hardmine.assign.max_iou import MaxIoU

__all__ = ["Assigner", "FCOSPoints", "MaxIoU"]
