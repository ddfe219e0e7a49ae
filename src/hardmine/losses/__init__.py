"""Losses: how wrong is the prediction of sample i?"""

from hardmine.losses.balance import EqualTasks, TaskBalance
from hardmine.losses.classification import BalancedCE, ClassificationLoss, CrossEntropy, Focal
from hardmine.losses.prior import initialize_prior
from hardmine.losses.regression import GIoU, RegressionLoss, SmoothL1

__all__ = [
    "BalancedCE",
    "ClassificationLoss",
    "CrossEntropy",
    "EqualTasks",
    "Focal",
    "GIoU",
    "RegressionLoss",
    "SmoothL1",
    "TaskBalance",
    "initialize_prior",
]
