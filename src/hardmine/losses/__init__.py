"""Losses: how wrong is the prediction of sample i?"""

from hardmine.losses.balance import EqualTasks, SelfBalance, TaskBalance
from hardmine.losses.classification import BalancedCE, ClassificationLoss, CrossEntropy, Focal
from hardmine.losses.correlation import Correlation
from hardmine.losses.distribution import DFL
from hardmine.losses.dr import DRLoss
from hardmine.losses.from_library import from_library
from hardmine.losses.prior import initialize_prior
from hardmine.losses.quality import IABCE, MAL, QFL, VFL
from hardmine.losses.ranking import ALRP, APLoss, RankSort
from hardmine.losses.regression import ASL1, BalancedL1, CIoU, DIoU, GIoU, IoU, RegressionLoss, SmoothL1
from hardmine.losses.scheduled import ScheduledLoss
from hardmine.losses.seesaw import Seesaw

__all__ = [
    "ALRP",
    "ASL1",
    "DFL",
    "IABCE",
    "MAL",
    "QFL",
    "VFL",
    "APLoss",
    "BalancedCE",
    "BalancedL1",
    "CIoU",
    "ClassificationLoss",
    "Correlation",
    "CrossEntropy",
    "DIoU",
    "DRLoss",
    "EqualTasks",
    "Focal",
    "GIoU",
    "IoU",
    "RankSort",
    "RegressionLoss",
    "ScheduledLoss",
    "Seesaw",
    "SelfBalance",
    "SmoothL1",
    "TaskBalance",
    "from_library",
    "initialize_prior",
]
