"""The methods under contract, one line each, and the situations that each of them must survive.

Adding a method to the library costs one line in a table below; the tests of this folder then run over it.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hardmine import (
    ALRP,
    ASL1,
    ATSS,
    CARL,
    DFL,
    EFL,
    GHMC,
    GHMR,
    IABCE,
    ISR,
    MAL,
    OHEM,
    QFL,
    SOHEM,
    VFL,
    All,
    ALRPWeight,
    APLoss,
    BalancedCE,
    BalancedL1,
    Chain,
    CIoU,
    ClassBalanced,
    Combined,
    Correlation,
    CrossEntropy,
    DIoU,
    DRLoss,
    EQLv2,
    FCOSPoints,
    Focal,
    FocalFactor,
    GIoU,
    HardNegative,
    HardPool,
    Hungarian,
    InstanceBalanced,
    IoU,
    IoUBalanced,
    MaxIoU,
    PixelOHEM,
    QualityWeight,
    Random,
    RandomBalanced,
    RankSort,
    Scheduled,
    ScheduledLoss,
    ScoreHLR,
    Seesaw,
    SelfPaced,
    SimOTA,
    SmoothL1,
    TaskAligned,
    WithClosest,
)
from hardmine.core.samples import GroundTruth, Levels, Predictions
from hardmine.equation.normalize import PerPositive, PerQuality, PerSampled, PerValid, PerWeight
from hardmine.testing.situations import (
    LABELS,
    LEVELS,
    MATCHED,
    NUM_CLASSES,
    OBJECTS,
    ground_truth_of,
    make_anchors,
    make_predictions,
)

SAMPLINGS: dict[str, Callable[[], nn.Module]] = {
    "All": All,
    "RandomBalanced": lambda: RandomBalanced(6, 0.5),
    "RandomBalanced, two negatives a positive": lambda: RandomBalanced(6, 0.5, 2),
    "HardNegative": HardNegative,
    "HardNegative, budget": lambda: HardNegative(budget=5),
    "OHEM": lambda: OHEM(4),
    "OHEM, few candidates": lambda: OHEM(3, candidates=5),
    "OHEM, mmdetection's": lambda: OHEM(6, nms_iou=None, positive_fraction=0.5, rank_by="classification"),
    "OHEM, 1.5 negatives a positive": lambda: OHEM(6, None, 0.5, negatives_per_positive=1.5),
    "OHEM, over the batch": lambda: OHEM(4, over="batch"),
    "OHEM, R-FCN's": lambda: OHEM(4, nms_iou=None),
    "SOHEM": lambda: SOHEM(5),
    "PixelOHEM": lambda: PixelOHEM(2),
    "PixelOHEM, no threshold": lambda: PixelOHEM(2, None),
    "PixelOHEM, mmsegmentation's": lambda: PixelOHEM.mmseg(2),
    "PixelOHEM, HRNet's": lambda: PixelOHEM.hrnet(3),
    "PixelOHEM, BiSeNet's": lambda: PixelOHEM.bisenet(0.5, 1 / 4),
    "PixelOHEM, DeepLab's": PixelOHEM.deeplab,
    "Random": lambda: Random(3),
    "IoUBalanced": lambda: IoUBalanced(6),
    "IoUBalanced, up to the largest, with a floor": lambda: IoUBalanced(6, 2, None, 0.1, 0.3),
    "InstanceBalanced": lambda: InstanceBalanced(4),
    "HardPool": lambda: HardPool(3, 2),
    "ScoreHLR, softmax": lambda: ScoreHLR(5),
    "ScoreHLR, sigmoid": lambda: ScoreHLR(5, 2, 0.1, 0.6, 0.3, "sigmoid"),
    "ScoreHLR, few candidates": lambda: ScoreHLR(5, candidates=3),
    "Combined, Libra R-CNN's": lambda: Combined(InstanceBalanced(), IoUBalanced(), 8, 0.5),
    "Combined, PISA's": lambda: Combined(Random(), ScoreHLR(), 8, 0.5),
    "FocalFactor, sigmoid": FocalFactor,
    "FocalFactor, softmax, gamma .5": lambda: FocalFactor(0.5, None, "softmax"),
    "GHMC": GHMC,
    "GHMC, after a while": lambda: remembering(GHMC(5), histogram=[90.0, 9, 0, 0, 2], seen=0.9),
    "GHMC, non-empty bins, no momentum": lambda: GHMC(5, 0, "non-empty"),
    "GHMC, exact": lambda: GHMC(5, 0, density="exact"),
    "GHMC, softmax": lambda: GHMC(5, activation="softmax"),
    "GHMR": GHMR,
    "GHMR, exact": lambda: GHMR(momentum=0, density="exact"),
    "ISR": ISR,
    "ISR, over the image": lambda: ISR(0.5, 0.2, over="image"),
    "ISR, relative to its own class": lambda: ISR(relative_to="own"),
    "CARL, softmax": CARL,
    "CARL, sigmoid": lambda: CARL(2, 0, 1, "sigmoid"),
    "ALRPWeight": ALRPWeight,
    "ALRPWeight, hard step": lambda: ALRPWeight(0, 0.3),
    "QualityWeight": QualityWeight,
    "EQLv2": lambda: EQLv2(NUM_CLASSES),
    "EQLv2, after a while": lambda: remembering(EQLv2(NUM_CLASSES), positive=[9.0, 7, 0], negative=[10.0, 10, 10]),
    "EFL": lambda: EFL(NUM_CLASSES),
    "EFL, after a while": lambda: remembering(EFL(NUM_CLASSES), positive=[9.0, 5, 0], negative=[10.0, 10, 10]),
    "ClassBalanced": lambda: ClassBalanced(NUM_CLASSES),
    "ClassBalanced, counted before": lambda: ClassBalanced(NUM_CLASSES, 0.99, [1000, 10, 0]),
    "Scheduled, at once": lambda: Scheduled(All(), OHEM(4), 0.1),
    "Scheduled, by and by": lambda: Scheduled(RandomBalanced(6, 0.5), FocalFactor(), 0, 1),
    "SelfPaced": SelfPaced,
    "Chain": lambda: Chain(HardNegative(), OHEM(4), RandomBalanced(3, 0.5)),
}
ASSIGNERS: dict[str, Callable[[], nn.Module]] = {
    "MaxIoU, take": lambda: MaxIoU(0.5, 0.4, 0.0, "take"),
    "MaxIoU, take_one": lambda: MaxIoU(0.5, 0.5, 0.0, "take_one"),
    "MaxIoU, keep": lambda: MaxIoU(0.7, 0.3, 0.3, "keep"),
    "MaxIoU, off": lambda: MaxIoU(0.5, 0.5, force_match="off"),
    "MaxIoU, in chunks": lambda: MaxIoU(chunk=1),
    "MaxIoU, of points": lambda: MaxIoU(box_strides=2.0),
    "WithClosest": WithClosest,
    "WithClosest, of ATSS": lambda: WithClosest(ATSS(k=1), k=1),
    "WithClosest, all": lambda: WithClosest(MaxIoU(0.7, 0.3, 0.3, "off"), k=1000, min_iou=1e-6),
    "FCOSPoints": FCOSPoints,
    "FCOSPoints, in chunks": lambda: FCOSPoints(chunk=1),
    "ATSS": lambda: ATSS(3),
    "ATSS, in chunks": lambda: ATSS(chunk=1),
    "ATSS, of points": lambda: ATSS(3, box_strides=2.0),
    "TaskAligned": lambda: TaskAligned(4),
    "TaskAligned, in chunks": lambda: TaskAligned(chunk=1),
    "TaskAligned, over all": lambda: TaskAligned(4, rank_over="all"),
    "SimOTA": SimOTA,
    "SimOTA, in chunks": lambda: SimOTA(chunk=1),
    "Hungarian": Hungarian,
    "Hungarian, class cost of DETR": lambda: Hungarian(1, class_cost="probability", chunk=1),
}
CLASSIFICATION_LOSSES: dict[str, Callable[[], nn.Module]] = {
    "CrossEntropy, softmax": lambda: CrossEntropy("softmax"),
    "CrossEntropy, sigmoid": lambda: CrossEntropy("sigmoid"),
    "BalancedCE, softmax": lambda: BalancedCE(0.75, "softmax"),
    "BalancedCE, sigmoid": lambda: BalancedCE(0.75, "sigmoid"),
    "Focal, softmax": lambda: Focal(activation="softmax"),
    "Focal, sigmoid": lambda: Focal(activation="sigmoid"),
    "Focal, softmax, gamma .5": lambda: Focal(0.5, activation="softmax"),
    "Focal, sigmoid, gamma .5": lambda: Focal(0.5, None, activation="sigmoid"),
    "QFL": QFL,
    "QFL, beta .5": lambda: QFL(0.5),
    "VFL": VFL,
    "VFL, positives count once": lambda: VFL(0.5, 0.5, iou_weighted=False),
    "MAL": MAL,
    "IABCE": IABCE,
    "IABCE, alpha .5, gamma .5": lambda: IABCE(0.5, 0.5),
    "ScheduledLoss": lambda: ScheduledLoss(CrossEntropy("sigmoid"), VFL(), 0, 1),
    "ScheduledLoss, softmax": lambda: ScheduledLoss(CrossEntropy(), Focal(activation="softmax"), 0.5),
    "Seesaw": lambda: Seesaw(NUM_CLASSES),
    "Seesaw, after a while": lambda: remembering(Seesaw(NUM_CLASSES), counts=[900, 30, 0, 5000]),
}
LISTWISE_LOSSES: dict[str, Callable[[], nn.Module]] = {
    "APLoss": APLoss,
    "APLoss, hard step, not interpolated": lambda: APLoss(0, interpolated=False),
    "ALRP": ALRP,
    "ALRP, hard step": lambda: ALRP(0, 0.3),
    "RankSort": RankSort,
    "RankSort, hard step": lambda: RankSort(0),
    "DRLoss": DRLoss,
    "Correlation, concordance, sigmoid": Correlation,
    "Correlation, Pearson's, softmax": lambda: Correlation("pearson", activation="softmax"),
}
REGRESSION_LOSSES: dict[str, Callable[[], nn.Module]] = {
    "SmoothL1": SmoothL1,
    "SmoothL1, beta 1/9": lambda: SmoothL1(1 / 9),
    "L1": lambda: SmoothL1(0.0),
    "ASL1": ASL1,
    "BalancedL1": BalancedL1,
    "BalancedL1, beta 2": lambda: BalancedL1(beta=2.0),
    "IoU": IoU,
    "IoU, log": lambda: IoU("log"),
    "DIoU": DIoU,
    "CIoU": CIoU,
    "DFL": DFL,
    "GIoU": GIoU,
}
NORMALIZERS: dict[str, Callable[[], nn.Module]] = {
    f"{kind.__name__}, over {over}": lambda kind=kind, over=over: kind(over)
    for kind in (PerPositive, PerQuality, PerSampled, PerValid, PerWeight)
    for over in ("image", "batch", "ranks")
}


def remembering(method: nn.Module, **state: list[float] | float) -> nn.Module:
    """The method with what it would remember of earlier calls."""
    for name, values in state.items():
        getattr(method, name).copy_(torch.tensor(values))
    return method


def _of(table: dict[str, Callable[[], nn.Module]]) -> Callable:
    return pytest.fixture(params=list(table.values()), ids=list(table))(lambda request: request.param())


sampling = _of(SAMPLINGS)
assigner = _of(ASSIGNERS)
classification_loss = _of(CLASSIFICATION_LOSSES)
listwise_loss = _of(LISTWISE_LOSSES)
regression_loss = _of(REGRESSION_LOSSES)
normalizer = _of(NORMALIZERS)


@pytest.fixture(scope="session")
def tables() -> dict[str, dict[str, Callable[[], nn.Module]]]:
    losses = CLASSIFICATION_LOSSES | LISTWISE_LOSSES | REGRESSION_LOSSES
    return {"sampling": SAMPLINGS, "assign": ASSIGNERS, "losses": losses, "normalize": NORMALIZERS}


@pytest.fixture(params=list(MATCHED))
def matched_gt(request) -> Tensor:
    return MATCHED[request.param]


@pytest.fixture
def anchors() -> Tensor:
    return make_anchors()


@pytest.fixture
def levels() -> Levels:
    return LEVELS


@pytest.fixture
def predictions(anchors) -> Predictions:
    return make_predictions(anchors)


@pytest.fixture(params=list(OBJECTS))
def ground_truth(request) -> GroundTruth:
    return ground_truth_of(request.param)


@pytest.fixture(params=list(LABELS))
def labels(request) -> Tensor:
    return LABELS[request.param]
