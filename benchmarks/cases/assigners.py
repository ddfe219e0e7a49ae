"""Assigners on the anchors of RetinaNet at 1024 x 640, with a few, many and a crowd of objects."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

import hardmine as hm
from benchmarks.case import Answer, Case, Operation
from benchmarks.peers.installed import mmdetection, ultralytics
from benchmarks.peers.mmdetection import Instances
from hardmine.core.samples import Levels, Predictions

__all__ = ["cases"]

WIDTH, HEIGHT, CLASSES = 1024, 640, 80
STRIDES = (8, 16, 32, 64, 128)
TASKS = "models.task_modules.assigners"
COMPLETE = "theirs fits by CIoU instead of IoU, so only the number of positives is compared"
Peers = dict[str, Operation]


def cases(quick: bool) -> Iterator[Case]:
    for objects in (5, 20) if quick else (20, 100, 300):
        scene = Scene(objects, anchors=9, scale=4 if quick else 1)
        yield scene.case("max-IoU", hm.MaxIoU(force_match="take"), scene.max_iou())
        yield scene.case("max-IoU, keeping forced matches", hm.MaxIoU(force_match="keep"), scene.matcher())
        single = Scene(objects, anchors=1, scale=4 if quick else 1)
        yield single.case("ATSS", hm.ATSS(), single.atss())
        yield scene.case("TAL", hm.TaskAligned(rank_over="all"), scene.task_aligned())
        yield scene.case("TAL, as in YOLO", hm.TaskAligned(10, 0.5, 6.0), scene.ultralytics(), note=COMPLETE)
        if objects <= 100:
            yield scene.case("SimOTA", hm.SimOTA(), scene.sim_ota())


class Scene:
    """Anchors, objects of all sizes, and predictions that are near them."""

    def __init__(self, objects: int, anchors: int, scale: int):
        torch.manual_seed(0)
        self.boxes, self.levels, self.strides = _grid(anchors, scale)
        self.objects, self.labels = _objects(objects, scale), torch.randint(0, CLASSES, (objects,))
        self.scores = (torch.randn(len(self.boxes), CLASSES) - 3).sigmoid()
        self.predicted = self.boxes + torch.randn_like(self.boxes) * 4

    @property
    def size(self) -> str:
        return f"{len(self.boxes):,} samples, {len(self.objects)} objects"

    def case(self, name: str, assigner: torch.nn.Module, peers: Peers, note: str = "") -> Case:
        truth = hm.GroundTruth.from_lists([self.objects], [self.labels])
        given = {"levels": self.levels, "predictions": Predictions(self.predicted[None], self.scores[None])}

        def ours() -> Answer:
            return (assigner(self.boxes[None], truth, **given).matched_gt[0],)

        return Case(
            group="assigners", operation=name, size=self.size, ours=ours, peers=peers, unit=self.boxes,
            agree=about if note else agree, note=note,
        )  # fmt: skip

    def max_iou(self) -> Peers:
        assigner = mmdetection(f"{TASKS}.max_iou_assigner").MaxIoUAssigner(0.5, 0.4, 0.0)
        return {"mmdetection": partial(self._mmdetection, assigner)}

    def matcher(self) -> Peers:
        def torchvision() -> Answer:
            return (Matcher(0.5, 0.4, allow_low_quality_matches=True)(box_iou(self.objects, self.boxes)),)

        return {"torchvision": torchvision}

    def atss(self) -> Peers:
        assigner = mmdetection(f"{TASKS}.atss_assigner").ATSSAssigner(9)
        return {"mmdetection": partial(self._mmdetection, assigner, list(self.levels.num_samples))}

    def task_aligned(self) -> Peers:
        assigner = mmdetection(f"{TASKS}.task_aligned_assigner").TaskAlignedAssigner(13)
        return {"mmdetection": partial(self._mmdetection, assigner, alpha=1, beta=6)}

    def sim_ota(self) -> Peers:
        assigner = mmdetection(f"{TASKS}.sim_ota_assigner").SimOTAAssigner()
        centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        priors = torch.cat([centre, self.strides[:, None].expand(-1, 2)], dim=-1)
        return {"mmdetection": partial(self._mmdetection, assigner, priors=priors)}

    def _mmdetection(self, assigner: Any, *levels: Any, priors: Tensor | None = None, **options: Any) -> Answer:
        priors = self.boxes if priors is None else priors
        samples = Instances(priors=priors, bboxes=self.predicted, scores=self.scores)
        truth = Instances(bboxes=self.objects, labels=self.labels)
        found = assigner.assign(samples, *levels, truth, **options).gt_inds
        return (torch.where(found > 0, found - 1, torch.where(found == 0, hm.BACKGROUND, hm.IGNORE)),)

    def ultralytics(self) -> Peers:
        assigner = ultralytics().TaskAlignedAssigner(topk=10, num_classes=CLASSES, alpha=0.5, beta=6.0)
        centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        mask = torch.ones(1, len(self.objects), 1)

        def run() -> Answer:
            _, _, _, positive, index = assigner(
                self.scores[None], self.predicted[None], centre, self.labels[None, :, None], self.objects[None], mask
            )
            return (torch.where(positive[0].bool(), index[0], hm.BACKGROUND),)

        return {"ultralytics": run}


def agree(ours: Answer, theirs: Answer) -> str:
    """Ties are broken in other ways here and there: two in a thousand of the positives may be another's."""
    positive = (ours[0] >= 0) | (theirs[0] >= 0)
    other = int((ours[0] != theirs[0]).sum())
    return "" if other <= max(1, int(positive.sum()) // 500) else f"{other} of {int(positive.sum())} positives differ"


def about(ours: Answer, theirs: Answer) -> str:
    """As many positives, give or take a tenth."""
    num, other = int((ours[0] >= 0).sum()), int((theirs[0] >= 0).sum())
    return "" if abs(num - other) <= num // 10 else f"{num} positives, there {other}"


def _grid(anchors: int, scale: int) -> tuple[Tensor, Levels, Tensor]:
    boxes, counts, strides = [], [], []
    for stride in STRIDES:
        rows, columns = HEIGHT // scale // stride, WIDTH // scale // stride
        y, x = torch.meshgrid(torch.arange(rows) * stride, torch.arange(columns) * stride, indexing="ij")
        corner = torch.stack([x, y, x, y], -1).view(-1, 1, 4) + stride / 2
        boxes.append((corner + _shapes(stride, anchors)).view(-1, 4).float())
        counts.append(len(boxes[-1]))
        strides.append(torch.full((counts[-1],), float(stride)))
    levels = Levels(tuple(counts), tuple(map(float, STRIDES)), (anchors,) * len(STRIDES))
    return torch.cat(boxes), levels, torch.cat(strides)


def _shapes(stride: int, anchors: int) -> Tensor:
    """RetinaNet's: 3 sizes in 3 ratios; or one square (ATSS)."""
    sizes = torch.tensor([4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3)]) if anchors == 9 else torch.tensor([8.0])
    ratios = torch.tensor([0.5, 1.0, 2.0]) if anchors == 9 else torch.tensor([1.0])
    width, height = (sizes[:, None] / ratios.sqrt()).flatten(), (sizes[:, None] * ratios.sqrt()).flatten()
    return torch.stack([-width, -height, width, height], -1) * stride / 2


def _objects(number: int, scale: int) -> Tensor:
    sides = torch.exp(torch.rand(number, 2) * 3 + 2.8) / scale
    corner = torch.rand(number, 2) * (torch.tensor([WIDTH, HEIGHT]) / scale - sides).clamp_min(1)
    return torch.cat([corner, corner + sides], dim=-1)
