"""Assigners: what should sample i predict?"""

from hardmine.assign.atss import ATSS
from hardmine.assign.base import Assigner, AssignerEvidence
from hardmine.assign.closest import WithClosest
from hardmine.assign.fcos_points import FCOSPoints
from hardmine.assign.hungarian import Hungarian
from hardmine.assign.max_iou import MaxIoU
from hardmine.assign.sim_ota import SimOTA
from hardmine.assign.task_aligned import TaskAligned

__all__ = [
    "ATSS",
    "Assigner",
    "AssignerEvidence",
    "FCOSPoints",
    "Hungarian",
    "MaxIoU",
    "SimOTA",
    "TaskAligned",
    "WithClosest",
]
