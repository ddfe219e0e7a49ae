"""The methods under contract, one line each, and the situations that each of them must survive.

Adding a method to the library costs one line in a table below; the tests of this folder then run over it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

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
    ScoreHLR,
    Seesaw,
    SimOTA,
    SmoothL1,
    TaskAligned,
)
from hardmine.core.samples import BACKGROUND, IGNORE, Assignment, GroundTruth, Levels, Predictions, Samples
from hardmine.equation.normalize import PerPositive, PerQuality, PerSampled, PerValid, PerWeight

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
    "Chain": lambda: Chain(HardNegative(), OHEM(4), RandomBalanced(3, 0.5)),
}
ASSIGNERS: dict[str, Callable[[], nn.Module]] = {
    "MaxIoU, take": lambda: MaxIoU(0.5, 0.4, 0.0, "take"),
    "MaxIoU, take_one": lambda: MaxIoU(0.5, 0.5, 0.0, "take_one"),
    "MaxIoU, keep": lambda: MaxIoU(0.7, 0.3, 0.3, "keep"),
    "MaxIoU, off": lambda: MaxIoU(0.5, 0.5, force_match="off"),
    "MaxIoU, in chunks": lambda: MaxIoU(chunk=1),
    "MaxIoU, of points": lambda: MaxIoU(box_strides=2.0),
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

NUM_CLASSES = 3
LEVELS = ((8, 8), (16, 4), (32, 2))  # stride, cells a side: a 64-pixel image


def remembering(method: nn.Module, **state: list[float] | float) -> nn.Module:
    """The method with what it would remember of earlier calls."""
    for name, values in state.items():
        getattr(method, name).copy_(torch.tensor(values))
    return method


def _of(table: dict[str, Callable[[], nn.Module]]) -> Callable:
    return pytest.fixture(params=list(table.values()), ids=list(table))(lambda request: request.param())


def _such(table: dict[str, Callable[[], nn.Module]], keep: Callable[[Any], bool]) -> dict[str, Callable[[], nn.Module]]:
    return {name: make for name, make in table.items() if keep(make())}


sampling = _of(SAMPLINGS)
differentiable_sampling = _of(_such(SAMPLINGS, lambda sampling: sampling.through_grad))
imagewise_sampling = _of(_such(SAMPLINGS, lambda sampling: not sampling.pools_batch))
assigner = _of(ASSIGNERS)
classification_loss = _of(CLASSIFICATION_LOSSES)
differentiable_classification_loss = _of(_such(CLASSIFICATION_LOSSES, lambda loss: loss.through_grad))
listwise_loss = _of(LISTWISE_LOSSES)
regression_loss = _of(REGRESSION_LOSSES)
differentiable_regression_loss = _of(_such(REGRESSION_LOSSES, lambda loss: loss.through_grad))
normalizer = _of(NORMALIZERS)


@pytest.fixture(scope="session")
def tables() -> dict[str, dict[str, Callable[[], nn.Module]]]:
    losses = CLASSIFICATION_LOSSES | LISTWISE_LOSSES | REGRESSION_LOSSES
    return {"sampling": SAMPLINGS, "assign": ASSIGNERS, "losses": losses, "normalize": NORMALIZERS}


@pytest.fixture
def capture() -> Iterator[Callable[[nn.Module], Callable]]:
    """Compiles a method as one graph; a second compilation of anything is an error."""

    def compiled(method: nn.Module) -> Callable:
        torch._dynamo.reset()
        return torch.compile(method, fullgraph=True, backend="aot_eager")

    with torch._dynamo.config.patch(error_on_recompile=True):
        yield compiled


def matched_cases() -> dict[str, Tensor]:
    """matched_gt (B, N) of the batches that break hard samplers."""
    ordinary = torch.randint(IGNORE, 3, (3, 14), generator=torch.Generator().manual_seed(1))
    return {
        "ordinary": ordinary,
        "no positives": ordinary.clamp_max(BACKGROUND),
        "no negatives": torch.where(ordinary == BACKGROUND, 0, ordinary),
        "all positive": ordinary.clamp_min(0),
        "all ignored": torch.full_like(ordinary, IGNORE),
        "one image ignored": ordinary.index_fill(0, torch.tensor([1]), IGNORE),
        "one positive": torch.full_like(ordinary, BACKGROUND).index_fill(1, torch.tensor([5]), 0),
        "one sample": ordinary[:, :1],
        "fewer than asked for": ordinary[:, :3],
        "no samples": ordinary[:, :0],
    }


@pytest.fixture(params=list(matched_cases()))
def matched_gt(request) -> Tensor:
    return matched_cases()[request.param]


@pytest.fixture
def make_samples() -> Callable[..., Samples]:
    return _make_samples


def _make_samples(matched_gt: Tensor, dtype: torch.dtype = torch.float32, *, ties: bool = False) -> Samples:
    """Random evidence of every kind; overlapping boxes, and on demand equal keys."""
    B, N = matched_gt.shape
    corner = torch.rand(B, N, 2) * 8
    loss, positive = torch.rand(5, B, N), matched_gt >= 0
    if ties:
        corner, loss = corner.round(), loss.round() / 2
    quality, predicted_iou = torch.where(positive, loss[3:], 0).to(dtype)
    boxes = torch.cat([corner, corner + 20], dim=-1)
    return Samples(
        Assignment(matched_gt, torch.rand(B, N).to(dtype), quality),
        labels=torch.where(matched_gt >= 0, matched_gt % NUM_CLASSES, matched_gt),
        boxes=boxes.to(dtype),
        logits=torch.randn(B, N, NUM_CLASSES).to(dtype),
        predicted_boxes=(boxes + torch.randn(B, N, 4)).to(dtype),
        predicted_iou=predicted_iou,
        code_error=torch.where(positive.unsqueeze(-1), torch.randn(B, N, 4), 0).to(dtype),
        classification_loss=loss[0].to(dtype),
        regression_loss=loss[1].to(dtype),
        noise=loss[2].to(dtype),
    )


@pytest.fixture
def image_of() -> Callable[[Samples, int], Samples]:
    """One image of a batch of samples, as a batch of its own."""

    def pick(samples: Samples, b: int) -> Samples:
        return each_tensor(samples, lambda tensor: tensor[b : b + 1])

    return pick


@pytest.fixture
def change() -> Callable[[Samples, Callable[[Tensor], Tensor]], Samples]:
    return each_tensor


def each_tensor(samples: Samples, function: Callable[[Tensor], Tensor]) -> Samples:
    """The samples with a function applied to each of their tensors."""
    evidence = {name: function(samples[name]) for name in samples.available}
    quality = evidence.pop("quality", None)
    assignment = Assignment(function(samples.assignment.matched_gt), function(samples.assignment.iou), quality)
    return replace(samples, assignment=assignment, **evidence)


@pytest.fixture
def without() -> Callable[[Samples, Iterable[str]], Samples]:
    """The samples without the named evidence."""

    def take_away(samples: Samples, names: Iterable[str]) -> Samples:
        names = set(names)
        quality = None if "quality" in names else samples.quality
        gone = dict.fromkeys(names - {"quality"})
        return replace(samples, assignment=replace(samples.assignment, quality=quality), **gone)

    return take_away


@pytest.fixture
def anchors() -> Tensor:
    """(2, N, 4): two images' grids of squares, one a level, as anchors and as FCOS's points; no two boxes tie."""
    grid = torch.cat([_cells(stride, cells) for stride, cells in LEVELS])
    return grid + torch.rand(2, len(grid), 4) - 0.5


def _cells(stride: int, cells: int) -> Tensor:
    first = torch.arange(cells) * float(stride)
    y, x = torch.meshgrid(first, first, indexing="ij")
    return torch.stack([x, y, x + stride, y + stride], dim=-1).reshape(-1, 4)


@pytest.fixture
def levels() -> Levels:
    strides = tuple(float(stride) for stride, _ in LEVELS)
    return Levels(tuple(cells**2 for _, cells in LEVELS), strides, per_location=(1,) * len(LEVELS))


@pytest.fixture
def predictions(anchors) -> Predictions:
    """Boxes near the anchors, and scores of every class."""
    boxes = anchors + torch.randn_like(anchors)
    return Predictions(boxes, torch.rand(*anchors.shape[:2], NUM_CLASSES))


def object_cases() -> dict[str, tuple[list[Tensor], list[Tensor] | None]]:
    """Boxes of two images, and ignore regions."""
    generator = torch.Generator().manual_seed(2)

    def boxes(num: int, side: float = 30.0) -> Tensor:
        corner = torch.rand(num, 2, generator=generator) * 40
        return torch.cat([corner, corner + 4 + torch.rand(num, 2, generator=generator) * side], dim=-1)

    none, region = torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 40.0, 64.0]])
    return {
        "ordinary": ([boxes(4), boxes(2)], None),
        "no objects": ([none, none], None),
        "one image without objects": ([none, boxes(3)], None),
        "more than a chunk": ([boxes(40), boxes(33)], None),
        "equal and tiny objects": ([boxes(1).repeat(3, 1), boxes(3, 0.01) * 0.01 + 20], None),
        "huge and outside objects": ([boxes(2) * 50 - 500, boxes(2) + 500], None),
        "ignore regions": ([boxes(3), boxes(2)], [region, none]),
        "only ignore regions": ([none, none], [none, region]),
    }


@pytest.fixture(params=list(object_cases()))
def ground_truth(request) -> GroundTruth:
    boxes, regions = object_cases()[request.param]
    labels = [torch.arange(len(box)) % NUM_CLASSES for box in boxes]
    return GroundTruth.from_lists(boxes, labels, regions)


def label_cases() -> dict[str, Tensor]:
    """Labels (B, N) for losses."""
    ordinary = torch.randint(IGNORE, NUM_CLASSES, (2, 9), generator=torch.Generator().manual_seed(3))
    return {
        "ordinary": ordinary,
        "no positives": ordinary.clamp_max(BACKGROUND),
        "no negatives": torch.where(ordinary == BACKGROUND, 1, ordinary),
        "all ignored": torch.full_like(ordinary, IGNORE),
        "one sample": ordinary[:, :1],
        "no samples": ordinary[:, :0],
    }


@pytest.fixture(params=list(label_cases()))
def labels(request) -> Tensor:
    return label_cases()[request.param]


@pytest.fixture(params=[name for name, labels in label_cases().items() if labels.numel()])
def some_labels(request) -> Tensor:
    """Labels where there is something to differentiate."""
    return label_cases()[request.param]


@pytest.fixture
def make_logits() -> Callable[..., Tensor]:
    """Logits (B, N, C), one column more for a softmax loss, for the labels."""

    def logits(loss: nn.Module, labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        columns = NUM_CLASSES + (loss.activation == "softmax")
        return (torch.randn(*labels.shape, columns) * 3).to(dtype)

    return logits
