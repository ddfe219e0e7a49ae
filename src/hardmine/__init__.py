"""Hard example mining and sample weighting for object detection, under one equation.

L = (1/Z) · Σ w_i · ℓ(z_i, t_i)        assign → t,  sampling → w,  losses → ℓ,  normalize → Z
"""

from hardmine import assign, losses, normalize, recipes, sampling
from hardmine.assign import FCOSPoints, MaxIoU
from hardmine.detectors import Detector, build, wrap
from hardmine.errors import HardmineError
from hardmine.losses import BalancedCE, CrossEntropy, Focal, GIoU, SmoothL1
from hardmine.recipes import RECIPES, Recipe, Slot
from hardmine.samples import BACKGROUND, IGNORE, Assignment, GroundTruth, Samples
from hardmine.sampling import OHEM, All, Chain, HardNegative, RandomBalanced, Sampling

__version__ = "0.1.0"

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "OHEM",
    "RECIPES",
    "All",
    "Assignment",
    "BalancedCE",
    "Chain",
    "CrossEntropy",
    "Detector",
    "FCOSPoints",
    "Focal",
    "GIoU",
    "GroundTruth",
    "HardNegative",
    "HardmineError",
    "MaxIoU",
    "RandomBalanced",
    "Recipe",
    "Samples",
    "Sampling",
    "Slot",
    "SmoothL1",
    "assign",
    "build",
    "losses",
    "normalize",
    "recipes",
    "sampling",
    "wrap",
]
