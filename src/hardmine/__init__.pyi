from . import (
    assign as assign,
    detectors as detectors,
    losses as losses,
    normalize as normalize,
    recipes as recipes,
    sampling as sampling,
)
from .assign import (
    ATSS as ATSS,
    FCOSPoints as FCOSPoints,
    Hungarian as Hungarian,
    MaxIoU as MaxIoU,
    SimOTA as SimOTA,
    TaskAligned as TaskAligned,
)
from .detectors import Detector as Detector, build as build, wrap as wrap
from .errors import HardmineError as HardmineError
from .losses import (
    BalancedCE as BalancedCE,
    CrossEntropy as CrossEntropy,
    Focal as Focal,
    GIoU as GIoU,
    SmoothL1 as SmoothL1,
)
from .recipes import RECIPES as RECIPES, Recipe as Recipe, Slot as Slot
from .samples import (
    BACKGROUND as BACKGROUND,
    IGNORE as IGNORE,
    Assignment as Assignment,
    GroundTruth as GroundTruth,
    Samples as Samples,
)
from .sampling import (
    OHEM as OHEM,
    All as All,
    Chain as Chain,
    HardNegative as HardNegative,
    RandomBalanced as RandomBalanced,
    Sampling as Sampling,
)

__version__: str
