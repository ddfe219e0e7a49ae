"""Samplers, hard and soft, on a batch of 8 images at once; others go from image to image."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

import hardmine as hm
from benchmarks.case import Answer, Case, Operation, with_gradient
from benchmarks.peers import loops
from benchmarks.peers.installed import mmdetection, monai_samplers
from hardmine.core.boxes import paired_iou

__all__ = ["cases"]

IMAGES, CLASSES, OBJECTS = 8, 80, 20
SAMPLERS = "models.task_modules.samplers"


def cases(quick: bool) -> Iterator[Case]:
    rois = Batch(IMAGES, 200 if quick else 2000)
    yield rois.case("OHEM with NMS", hm.OHEM(64), {"loop from the paper": rois.ohem})
    yield rois.case(
        "OHEM, positives apart", hm.OHEM(512, None, 0.25, "classification"), {"mmdetection": rois.mmdetection_ohem()}
    )
    yield rois.case(
        "Score-HLR", hm.Combined(hm.Random(), hm.ScoreHLR()), {"loop from the paper": rois.score_hlr}, rois.by_kind
    )
    yield from random_ones(rois)
    anchors = Batch(1, 2_000 if quick else 122_760)
    yield from random_ones(anchors)
    boxes = Batch(IMAGES, 1_000 if quick else 8_732)
    yield boxes.case(
        "hard negatives 3:1", hm.HardNegative(min_negatives=0), {"two sorts, as torchvision's SSD": boxes.two_sorts}
    )
    yield boxes.case(
        "hard pool", hm.Combined(hm.Random(), hm.HardPool(pool=10)), {"MONAI": boxes.monai()}, boxes.by_kind
    )
    few = Batch(IMAGES, 128 if quick else 512)
    yield few.isr()
    yield few.carl()
    yield pixels(64 if quick else 512)


def random_ones(batch: "Batch") -> Iterator[Case]:
    yield batch.case("random", hm.RandomBalanced(512, 0.25), {
        "torchvision": batch.torchvision(), "mmdetection": batch.mmdetection("random_sampler", "RandomSampler")
    }, batch.by_kind)  # fmt: skip
    yield batch.case("IoU-balanced negatives", hm.Combined(hm.Random(), hm.IoUBalanced(upper=None)), {
        "mmdetection": batch.mmdetection("iou_balanced_neg_sampler", "IoUBalancedNegSampler")
    }, batch.by_kind)  # fmt: skip
    yield batch.case("instance-balanced positives", hm.Combined(hm.InstanceBalanced(), hm.Random()), {
        "mmdetection": batch.mmdetection("instance_balanced_pos_sampler", "InstanceBalancedPosSampler")
    }, batch.not_fewer, note="theirs draws some twice, and so keeps fewer")  # fmt: skip


class Batch:
    """Proposals around objects, with losses and scores such as a detector has them after a while."""

    def __init__(self, images: int, samples: int):
        torch.manual_seed(0)
        self.images, self.num = images, samples
        truth = _boxes(images, OBJECTS)
        owner = torch.randint(0, OBJECTS, (images, samples))
        self.boxes = truth.gather(1, owner[..., None].expand(-1, -1, 4)) + torch.randn(images, samples, 4) * 12
        self.objects = truth.gather(1, owner[..., None].expand(-1, -1, 4))
        iou = paired_iou(self.boxes, self.objects)
        positive = iou > iou.quantile(0.9) if samples < 100_000 else iou > iou.flatten()[:10_000].quantile(0.99)
        self.matched = torch.where(positive, owner, hm.BACKGROUND)
        self.classes = torch.randint(0, CLASSES, (images, OBJECTS)).gather(1, owner)
        self.labels = torch.where(positive, self.classes, hm.BACKGROUND)
        self.iou = torch.where(positive, iou, iou * 0.5)
        self.logits = torch.randn(images, samples, CLASSES + 1) if samples < 10_000 else torch.zeros(images, samples, 1)
        self.loss = torch.rand(images, samples) ** 4 * 5

    @property
    def size(self) -> str:
        return f"{self.images} x {self.num:,}"

    def samples(self, **more: Any) -> hm.Samples:
        return hm.Samples(
            hm.Assignment(self.matched, self.iou), labels=self.labels, boxes=self.boxes, logits=self.logits,
            predicted_boxes=self.boxes, classification_loss=self.loss, regression_loss=torch.zeros_like(self.loss),
            noise=torch.rand(self.labels.shape), **more,
        )  # fmt: skip

    def case(
        self, name: str, sampling: hm.Sampling, peers: dict[str, Operation], agree: Any = None, note: str = ""
    ) -> Case:
        def ours() -> Answer:
            return (sampling(self.samples()),)

        return Case(
            group="samplers", operation=name, size=self.size, ours=ours, compiled=None, peers=peers, unit=self.loss,
            agree=agree, note=note,
        )  # fmt: skip

    def by_kind(self, ours: Answer, theirs: Answer) -> str:
        """Chance decides who is kept, but not how many positives and negatives of each image."""
        kinds = self.matched >= 0, self.matched == hm.BACKGROUND
        counts = [[((answer[0] > 0) & kind).sum(1) for kind in kinds] for answer in (ours, theirs)]
        same = all(torch.equal(one, other) for one, other in zip(*counts, strict=True))
        return "" if same else "another number of positives or negatives is kept"

    def not_fewer(self, ours: Answer, theirs: Answer) -> str:
        fewer = (ours[0] > 0).sum(1) < (theirs[0] > 0).sum(1)
        return f"{int(fewer.sum())} images keep fewer" if fewer.any() else ""

    def ohem(self) -> Answer:
        return (
            torch.stack(
                [loops.ohem(*image, budget=64, iou=0.7) for image in self._numpy(self.boxes, self.loss, self.labels)]
            ),
        )

    def score_hlr(self) -> Answer:
        rows = zip(self.boxes, self.logits, self.loss, self.matched, strict=True)
        return (torch.stack([loops.score_hlr(*row, num=512) for row in rows]),)

    def two_sorts(self) -> Answer:
        positive = self.matched >= 0
        negatives = torch.where(positive, -torch.inf, self.loss)
        rank = negatives.sort(1, descending=True).indices.sort(1).indices
        return ((positive | (rank < 3 * positive.sum(1, keepdim=True))).float(),)

    def torchvision(self) -> Operation:
        sampler, labels = BalancedPositiveNegativeSampler(512, 0.25), list((self.matched >= 0).long())

        def run() -> Answer:
            positive, negative = sampler(labels)
            return ((torch.stack(positive) | torch.stack(negative)).float(),)

        return run

    def monai(self) -> Operation:
        sampler = monai_samplers().HardNegativeSampler(512, 0.25, min_neg=1, pool_size=10)
        labels, scores = list((self.matched >= 0).long()), list(self.loss)

        def run() -> Answer:
            positive, negative = sampler(labels, torch.cat(scores))
            return ((torch.stack(positive) | torch.stack(negative)).float(),)

        return run

    def mmdetection(self, module: str, name: str) -> Operation:
        sampler = getattr(mmdetection(f"{SAMPLERS}.{module}"), name)(512, 0.25)
        assigned = [SimpleNamespace(gt_inds=matched + 1, max_overlaps=iou, num_gts=OBJECTS, labels=None)
                    for matched, iou in zip(self.matched, self.iou, strict=True)]  # fmt: skip
        return lambda: (torch.stack([_both(sampler, each, 512, 128) for each in assigned]),)

    def mmdetection_ohem(self) -> Operation:
        """The loss of each box goes along as its fifth number, in place of a pass through a head."""
        module = mmdetection(f"{SAMPLERS}.ohem_sampler")
        module.bbox2roi = lambda boxes: boxes[0]
        sampler = module.OHEMSampler.__new__(module.OHEMSampler)
        sampler.context = SimpleNamespace(_bbox_forward=lambda _, rois: {"cls_score": rois})
        sampler.bbox_head = SimpleNamespace(
            num_classes=CLASSES, loss=lambda cls_score, **_: {"loss_cls": cls_score[:, 4]}
        )
        sampler.loss_key = "loss_cls"
        given = [
            (SimpleNamespace(gt_inds=matched + 1, labels=labels), torch.cat([boxes, loss[:, None]], 1))
            for matched, labels, boxes, loss in zip(self.matched, self.labels, self.boxes, self.loss, strict=True)
        ]
        return lambda: (torch.stack([_both(sampler, each, 512, 128, bboxes=boxes) for each, boxes in given]),)

    def isr(self) -> Case:
        sampling, loss = hm.ISR(), hm.CrossEntropy()
        reweigh = mmdetection("models.losses.pisa_loss").isr_p
        positive = self.matched >= 0
        theirs = torch.where(positive, self.labels, CLASSES).flatten()
        results = [SimpleNamespace(pos_assigned_gt_inds=matched[matched >= 0] + 100 * image)
                   for image, matched in enumerate(self.matched)]  # fmt: skip
        coder = SimpleNamespace(decode=lambda _, boxes: boxes)

        def of_labels(logits: Tensor, labels: Tensor, reduction_override: str) -> Tensor:
            return F.cross_entropy(logits, labels, reduction=reduction_override)

        def peer() -> Answer:
            targets = (theirs, torch.ones(theirs.numel()), self.objects.flatten(0, 1), None)
            boxes = self.boxes.flatten(0, 1)
            return (
                reweigh(self.logits.flatten(0, 1), boxes, targets, boxes, results, of_labels, coder)[1].view(
                    positive.shape
                ),
            )

        def ours() -> Answer:
            with torch.no_grad():
                samples = hm.Samples(
                    hm.Assignment(self.matched, self.iou), labels=self.labels,
                    predicted_iou=paired_iou(self.boxes, self.objects),
                    classification_loss=loss(self.logits, self.labels),
                )  # fmt: skip
                return (sampling(samples),)

        return Case(
            group="samplers", operation="ISR-P", size=self.size, ours=ours, peers={"mmdetection": peer}, unit=self.loss
        )

    def carl(self) -> Case:
        sampling, loss = hm.CARL(), hm.SmoothL1(1.0)
        weigh = mmdetection("models.losses.pisa_loss").carl_loss
        positive, codes, target = self.matched >= 0, torch.randn_like(self.boxes), torch.randn_like(self.boxes)
        labels = torch.where(positive, self.labels, CLASSES).flatten()

        def of_boxes(predicted: Tensor, wanted: Tensor, reduction_override: str) -> Tensor:
            return F.smooth_l1_loss(predicted, wanted, reduction=reduction_override)

        def peer(logits: Tensor) -> Tensor:
            given = (logits.flatten(0, 1), labels, codes.flatten(0, 1), target.flatten(0, 1), of_boxes)
            return weigh(*given)["loss_carl"].sum()

        def ours(logits: Tensor) -> Tensor:
            samples = hm.Samples(hm.Assignment(self.matched, self.iou), labels=self.labels, logits=logits)
            each = torch.where(positive.unsqueeze(-1), loss(codes, target), 0).sum(-1)
            return (sampling(samples) * each).sum() / positive.numel()

        theirs = {"mmdetection": with_gradient(peer, self.logits)}
        return Case(
            group="samplers", operation="CARL", size=self.size, ours=with_gradient(ours, self.logits),
            compiled=with_gradient(hm.compile(ours), self.logits), peers=theirs, unit=self.logits,
        )  # fmt: skip

    def _numpy(self, *rows: Tensor) -> Iterator[list[np.ndarray]]:
        return ([row[image].numpy() for row in rows] for image in range(self.images))


def _both(sampler: Any, assigned: Any, num: int, most_positives: int, **given: Any) -> Tensor:
    """Positives up to their share, negatives in all other places, as mmdetection's base class has it."""
    kept = torch.zeros(len(assigned.gt_inds))
    positive = sampler._sample_pos(assigned, most_positives, **given)
    kept[positive] = 1
    kept[sampler._sample_neg(assigned, num - len(positive), **given)] = 1
    return kept


def _boxes(images: int, num: int) -> Tensor:
    corner, side = torch.rand(images, num, 2) * 800, torch.rand(images, num, 2) * 150 + 30
    return torch.cat([corner, corner + side], -1)


def pixels(height: int) -> Case:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 19, height, 2 * height) * 3, torch.randint(0, 19, (2, height, 2 * height))
    min_kept = height * height // 8
    sampling = hm.PixelOHEM(min_kept)
    assignment = hm.Assignment(torch.zeros(2, labels[0].numel(), dtype=torch.long), torch.zeros(2, labels[0].numel()))

    def ours() -> Answer:
        loss = F.cross_entropy(logits, labels, reduction="none").flatten(1)
        return (sampling(hm.Samples(assignment, classification_loss=loss)),)

    return Case(
        group="samplers", operation="OHEM of pixels", size=f"2 x 19 x {height} x {2 * height}", ours=ours,
        peers={"as mmsegmentation": lambda: (loops.pixel_ohem(logits, labels, 0.7, min_kept).flatten(1),)}, unit=logits,
        tolerance=1e-2,
    )  # fmt: skip
