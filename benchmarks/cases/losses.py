"""Losses and soft weights: forward + backward, logits in, a mean and its gradient out."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

import hardmine as hm
from benchmarks.case import Case, Operation, with_gradient
from benchmarks.peers import loops
from benchmarks.peers.installed import kornia, mmdetection, monai, segmentation_models, torchvision

__all__ = ["cases"]

CLASSES = 80
Z = 200.0


def cases(quick: bool) -> Iterator[Case]:
    rows = 2_000 if quick else 120_000
    yield from dense(rows)
    yield equalized(rows)
    yield from classes(rows // 8)
    yield from boxes(rows)


def evidence(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (2, N, C) like those of a trained detector, labels with 200 positives, qualities."""
    torch.manual_seed(0)
    logits = torch.randn(2, rows // 2, CLASSES) * 1.5 - 4
    labels = torch.full((2, rows // 2), hm.BACKGROUND)
    labels[:, :: max(1, rows // 200)] = torch.randint(0, CLASSES, labels[:, :: max(1, rows // 200)].shape)
    return logits, labels, torch.where(labels >= 0, torch.rand(labels.shape), 0)


def one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """What other losses want for a target; it is made for every batch, so it is in their time."""
    target = torch.zeros_like(logits)
    positive = (labels >= 0).nonzero().squeeze(-1)
    target[positive, labels[positive]] = 1
    return target


def ours(loss: torch.nn.Module, sampling: hm.Sampling | None = None) -> Callable[..., Tensor]:
    """Σ w ℓ / Z of a loss, under a soft sampling where there is one."""

    def value(logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        each = loss(logits, labels, **({"quality": quality} if "quality" in loss.needs else {}))
        if sampling is None:
            return each.sum() / Z
        matched = torch.where(labels >= 0, 0, labels)
        samples = hm.Samples(hm.Assignment(matched, quality), labels=labels, logits=logits)
        return (sampling(samples) * each).sum() / Z

    return value


def flat(peer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Others take all images' samples in one row."""

    def value(logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        return peer(logits.flatten(0, 1), labels.flatten(), quality.flatten()).sum() / Z

    return value


def dense(rows: int) -> Iterator[Case]:
    given = evidence(rows)
    for name, (make, peers) in DENSE.items():
        yield Case(
            group="losses",
            operation=name,
            size=f"{rows:,} x {CLASSES}",
            ours=with_gradient(make(), *given),
            compiled=with_gradient(hm.compile(make()), *given),
            peers={who: with_gradient(flat(peer), *given) for who, peer in peers().items()},
            unit=given[0],
        )


def _ghm(bins: int) -> tuple[Callable[[], Callable[..., Tensor]], Callable[[], dict[str, Callable[..., Tensor]]]]:
    def make() -> Callable[..., Tensor]:
        return ours(hm.CrossEntropy("sigmoid"), hm.GHMC(bins, momentum=0, over="non-empty"))

    def peers() -> dict[str, Callable[..., Tensor]]:
        loss = mmdetection("models.losses.ghm_loss").GHMC(bins, momentum=0, reduction="none")
        return {
            "mmdetection": lambda logits, labels, _: loss(
                logits, one_hot(logits, labels), torch.ones_like(logits), avg_factor=None
            )
        }

    return make, peers


def _focal() -> dict[str, Callable[..., Tensor]]:
    reference = mmdetection("models.losses.focal_loss").py_sigmoid_focal_loss
    of_kornia, of_monai = kornia().binary_focal_loss_with_logits, monai().FocalLoss
    of_monai = of_monai(gamma=2.0, reduction="none")
    of_smp = segmentation_models().FocalLoss("binary", alpha=0.25, gamma=2.0, reduction="none")

    def balanced(loss: Tensor, target: Tensor) -> Tensor:
        return loss * (target * 0.25 + (1 - target) * 0.75)

    return {
        "torchvision": lambda z, y, _: torchvision().sigmoid_focal_loss(z, one_hot(z, y), reduction="sum"),
        "mmdetection": lambda z, y, _: reference(z, one_hot(z, y), reduction="sum"),
        "kornia": lambda z, y, _: balanced(of_kornia(z, one_hot(z, y), alpha=None, gamma=2.0), one_hot(z, y)),
        "MONAI": lambda z, y, _: balanced(of_monai(z, one_hot(z, y)), one_hot(z, y)),
        "segmentation-models": lambda z, y, _: of_smp(z, one_hot(z, y)),
    }


def _cross_entropy() -> dict[str, Callable[..., Tensor]]:
    return {"torch": lambda z, y, _: F.binary_cross_entropy_with_logits(z, one_hot(z, y), reduction="sum")}


def _qfl() -> dict[str, Callable[..., Tensor]]:
    loss = mmdetection("models.losses.gfocal_loss").quality_focal_loss

    def value(logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        return loss(logits, (torch.where(labels >= 0, labels, CLASSES), quality), beta=2.0, reduction="sum")

    return {"mmdetection": value}


def _vfl() -> dict[str, Callable[..., Tensor]]:
    loss = mmdetection("models.losses.varifocal_loss").varifocal_loss

    def value(logits: Tensor, labels: Tensor, quality: Tensor) -> Tensor:
        return loss(logits, one_hot(logits, labels) * quality.unsqueeze(-1), reduction="sum")

    return {"mmdetection": value}


DENSE = {
    "focal": (lambda: ours(hm.Focal()), _focal),
    "sigmoid cross entropy": (lambda: ours(hm.CrossEntropy("sigmoid")), _cross_entropy),
    "GHM-C, 10 bins": _ghm(10),
    "GHM-C, 30 bins": _ghm(30),
    "QFL": (lambda: ours(hm.QFL()), _qfl),
    "VFL": (lambda: ours(hm.VFL()), _vfl),
}


def equalized(rows: int) -> Case:
    """EFL, each call with the sums of a training that has begun."""
    given, sampling, theirs = evidence(rows), hm.EFL(CLASSES), loops.EqualizedFocal(CLASSES)
    positive, negative = torch.rand(CLASSES), torch.rand(CLASSES) + 0.5
    value = ours(hm.CrossEntropy("sigmoid"), sampling)

    def begun() -> None:
        sampling.positive.copy_(positive)
        sampling.negative.copy_(negative)
        theirs.sums = torch.stack([positive, negative])
        theirs.ratio = positive / (negative + 1e-10)

    peer = flat(lambda logits, labels, _: theirs(logits, labels))
    return Case(
        group="losses", operation="EFL", size=f"{rows:,} x {CLASSES}", unit=given[0],
        ours=with_gradient(value, *given, before=begun),
        compiled=with_gradient(hm.compile(value), *given, before=begun),
        peers={"written from the paper": with_gradient(peer, *given, before=begun)},
    )  # fmt: skip


def classes(rows: int) -> Iterator[Case]:
    """Losses of RoI heads: a softmax over all classes and the background."""
    torch.manual_seed(0)
    logits, labels = torch.randn(8, rows // 8, CLASSES + 1), torch.randint(0, CLASSES + 1, (8, rows // 8))
    of_ours = torch.where(labels < CLASSES, labels, hm.BACKGROUND)

    def case(name: str, loss: torch.nn.Module, peers: dict[str, Callable[[Tensor, Tensor], Tensor]]) -> Case:
        value = lambda z, y: loss(z, y).sum() / Z  # noqa: E731
        theirs = {
            who: with_gradient(lambda z, y, peer=peer: peer(z.flatten(0, 1), y.flatten()).sum() / Z, logits, labels)
            for who, peer in peers.items()
        }
        return Case(
            group="losses", operation=name, size=f"8 x {rows // 8:,} x {CLASSES + 1}",
            ours=with_gradient(value, logits, of_ours), compiled=with_gradient(hm.compile(value), logits, of_ours),
            peers=theirs, unit=logits,
        )  # fmt: skip

    yield case(
        "softmax cross entropy", hm.CrossEntropy(), {"torch": lambda z, y: F.cross_entropy(z, y, reduction="none")}
    )
    counts = torch.bincount(labels.flatten(), minlength=CLASSES + 1)
    seesaw = hm.Seesaw(CLASSES, background_is_class=True).eval()
    seesaw.counts.copy_(counts)
    loss = mmdetection("models.losses.seesaw_loss").seesaw_ce_loss
    yield case("Seesaw", seesaw, {
        "mmdetection": lambda z, y: loss(z, y, torch.ones(len(z)), counts.float(), CLASSES + 1, 0.8, 2.0, 0.01, "none")
    })  # fmt: skip


def boxes(rows: int) -> Iterator[Case]:
    torch.manual_seed(0)
    corners = torch.rand(2, rows // 2, 2) * 500
    boxes = torch.cat([corners, corners + 20 + torch.rand(2, rows // 2, 2) * 100], -1)
    target = boxes + torch.rand_like(boxes) * 4 - 2  # IoU above .5, where mmdetection looks at shapes too
    theirs, torchvisions = mmdetection("models.losses.iou_loss"), torchvision()

    def summed(peer: Callable[..., Tensor]) -> Operation:
        total = lambda p, t: peer(p.flatten(0, 1), t.flatten(0, 1), reduction="none").sum() / Z  # noqa: E731
        return with_gradient(total, boxes, target)

    for name, loss, of_torchvision, of_mmdetection in (
        ("GIoU", hm.GIoU(), torchvisions.generalized_box_iou_loss, theirs.giou_loss),
        ("DIoU", hm.DIoU(), torchvisions.distance_box_iou_loss, theirs.diou_loss),
        ("CIoU", hm.CIoU(), torchvisions.complete_box_iou_loss, theirs.ciou_loss),
    ):
        peers = {"torchvision": summed(of_torchvision), "mmdetection": summed(of_mmdetection)}
        yield box_case(name, loss, boxes, target, peers, tolerance=1e-3)
    codes, wanted = torch.randn(2, rows // 2, 4), torch.randn(2, rows // 2, 4)
    balanced = mmdetection("models.losses.balanced_l1_loss").balanced_l1_loss
    yield box_case("balanced L1", hm.BalancedL1(), codes, wanted, {
        "mmdetection": with_gradient(lambda p, t: balanced(p, t, reduction="sum") / Z, codes, wanted)
    })  # fmt: skip
    yield ghm_r(codes, wanted)
    sides, at = torch.randn(2, rows // 8, 4, 17), torch.rand(2, rows // 8, 4) * 16
    dfl = mmdetection("models.losses.gfocal_loss").distribution_focal_loss
    yield box_case("DFL", hm.DFL(16), sides, at, {
        "mmdetection": with_gradient(lambda p, t: dfl(p.flatten(0, 2), t.flatten(), reduction="sum") / Z, sides, at)
    })  # fmt: skip


def box_case(
    name: str, loss: Callable[..., Tensor], predicted: Tensor, target: Tensor, peers: dict[str, Operation],
    tolerance: float = 1e-4,
) -> Case:  # fmt: skip
    value = lambda p, t: loss(p, t).sum() / Z  # noqa: E731
    return Case(
        group="losses", operation=name, size=f"{predicted[..., 0].numel():,} x {predicted.shape[-1]}",
        ours=with_gradient(value, predicted, target), compiled=with_gradient(hm.compile(value), predicted, target),
        peers=peers, unit=predicted, tolerance=tolerance,
    )  # fmt: skip


def ghm_r(codes: Tensor, wanted: Tensor) -> Case:
    sampling, loss = hm.GHMR(momentum=0, over="non-empty"), hm.ASL1()
    assignment = hm.Assignment(torch.zeros(codes.shape[:2], dtype=torch.long), torch.zeros(codes.shape[:2]))
    peer = mmdetection("models.losses.ghm_loss").GHMR(mu=0.02, bins=10, momentum=0, reduction="none")

    def weighted(predicted: Tensor, target: Tensor) -> Tensor:
        samples = hm.Samples(assignment, code_error=(predicted - target).detach())
        return (sampling(samples) * loss(predicted, target)).unsqueeze(-1)

    theirs = with_gradient(lambda p, t: peer(p, t, torch.ones_like(p)).sum() / Z, codes, wanted)
    return box_case("GHM-R", weighted, codes, wanted, {"mmdetection": theirs})
