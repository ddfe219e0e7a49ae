from . import (
    assign as assign,
    augmentation as augmentation,
    detectors as detectors,
    diagnosis as diagnosis,
    experts as experts,
    losses as losses,
    mining as mining,
    recipes as recipes,
    sampling as sampling,
    testing as testing,
)
from .assign import (
    ATSS as ATSS,
    FCOSPoints as FCOSPoints,
    Hungarian as Hungarian,
    MaxIoU as MaxIoU,
    SimOTA as SimOTA,
    TaskAligned as TaskAligned,
    WithClosest as WithClosest,
)
from .core.samples import (
    BACKGROUND as BACKGROUND,
    IGNORE as IGNORE,
    Assignment as Assignment,
    GroundTruth as GroundTruth,
    Samples as Samples,
)
from .detectors import Detector as Detector, Segmenter as Segmenter, attach as attach, build as build, wrap as wrap
from .equation import normalize as normalize
from .equation.compiling import compile as compile
from .errors import HardmineError as HardmineError
from .losses import (
    ALRP as ALRP,
    ASL1 as ASL1,
    DFL as DFL,
    IABCE as IABCE,
    MAL as MAL,
    QFL as QFL,
    VFL as VFL,
    APLoss as APLoss,
    BalancedCE as BalancedCE,
    BalancedL1 as BalancedL1,
    CIoU as CIoU,
    Correlation as Correlation,
    CrossEntropy as CrossEntropy,
    DIoU as DIoU,
    DRLoss as DRLoss,
    Focal as Focal,
    GIoU as GIoU,
    IoU as IoU,
    RankSort as RankSort,
    ScheduledLoss as ScheduledLoss,
    Seesaw as Seesaw,
    SmoothL1 as SmoothL1,
)
from .recipes import RECIPES as RECIPES, Recipe as Recipe, Slot as Slot
from .sampling import (
    CARL as CARL,
    EFL as EFL,
    GHMC as GHMC,
    GHMR as GHMR,
    ISR as ISR,
    OHEM as OHEM,
    SOHEM as SOHEM,
    All as All,
    ALRPWeight as ALRPWeight,
    Chain as Chain,
    ClassBalanced as ClassBalanced,
    Combined as Combined,
    EQLv2 as EQLv2,
    FocalFactor as FocalFactor,
    HardNegative as HardNegative,
    HardPool as HardPool,
    InstanceBalanced as InstanceBalanced,
    IoUBalanced as IoUBalanced,
    PixelOHEM as PixelOHEM,
    QualityWeight as QualityWeight,
    Random as Random,
    RandomBalanced as RandomBalanced,
    Sampling as Sampling,
    Scheduled as Scheduled,
    ScoreHLR as ScoreHLR,
    SelfPaced as SelfPaced,
    from_function as from_function,
)

__version__: str
