"""A framework that is none: two small detectors that compute their losses themselves, as YOLO and DETR do.

For tests of what the commands, the recorder and the figures make of such detectors, where no framework is installed.
Each has two heads on the same features, of which the one called "last" gives the detections; its loss counts more the
later the epoch: a training that is continued must be told in which it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from packaging.specifiers import SpecifierSet
from torch import Tensor, nn

from hardmine.core.samples import BACKGROUND, GroundTruth
from hardmine.detectors.detector import Detector
from hardmine.detectors.frameworks import FRAMEWORKS, Framework
from hardmine.detectors.traits import set_traits, soft_traits
from hardmine.equation.framework_head import FrameworkHead, FrameworkOutput
from hardmine.equation.recipe import Recipe
from hardmine.errors import check_name

__all__ = ["DENSE", "SETS", "StandInDetector", "StandInModel", "with_stand_in"]

DENSE, SETS = "standin:dense", "standinsets:set"
NAMES = {"standin": "dense", "standinsets": "set"}
STRIDE, WIDTH = 8, 16


class StandInModel(nn.Module):
    """Scores and boxes of each cell of 8x8 pixels, from two branches."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        widths = (3, 8, WIDTH, WIDTH)
        layers = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(4, b), nn.ReLU()) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*layers)
        self.branches = nn.ModuleDict({name: nn.Conv2d(WIDTH, num_classes + 4, 1) for name in ("last", "first")})
        self.denoising = nn.Parameter(torch.zeros(3))  # without gradient, as some frameworks' are in some steps

    def forward(self, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each branch logits (B, N, C) and boxes (B, N, 4) in pixels."""
        features = self.body(images)
        cells = cells_of(images)
        found = {}
        for name, branch in self.branches.items():
            logits, sides = branch(features).flatten(2).mT.split((self.num_classes, 4), -1)
            middle = cells[:, :2] + STRIDE / 2
            sides = sides.clamp(-4, 4).exp() * STRIDE
            found[name] = (logits - 3, torch.cat([middle - sides[..., :2], middle + sides[..., 2:]], -1))
        return found


class StandInDetector(Detector):
    """The model under a recipe, its images resized to squares."""

    def __init__(self, model: StandInModel, recipe: Recipe, image_size: int | None = None, *, matches_sets: bool):
        super().__init__(model)
        traits = (set_traits if matches_sets else soft_traits)("standin", model.num_classes)
        self.heads = nn.ModuleDict({name: FrameworkHead(traits, recipe) for name in model.branches})
        self.size, self.matches_sets, self.share = image_size or 64, matches_sets, 1.0

    @property
    def num_classes(self) -> int:
        return self.model.num_classes

    def start_epoch(self, epoch: int, num_epochs: int) -> None:
        self.share = epoch / num_epochs

    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
        scaled = [
            {**target, "boxes": target["boxes"] * self._scale(image)}
            for image, target in zip(images, targets, strict=True)
        ]
        size = (self.size, self.size)
        return torch.cat([F.interpolate(image[None], size, mode="bilinear") for image in images]), scaled

    def _scale(self, image: Tensor) -> Tensor:
        return self.size / image.new_tensor([image.shape[2], image.shape[1]] * 2)

    def losses(self, batch: Tensor, ground_truth: GroundTruth, objects: Any) -> dict[str, Tensor]:
        shares = {"first": 1.0, "last": self.share}
        total = {"class_loss": batch.new_zeros(()), "box_loss": batch.new_zeros(())}
        for name, (logits, boxes) in self.model(batch).items():
            for of, loss in self._weighed(name, logits, boxes, cells_of(batch), ground_truth).items():
                total[of] = total[of] + loss * shares[name]
        return total

    def _weighed(
        self, name: str, logits: Tensor, boxes: Tensor, cells: Tensor, ground_truth: GroundTruth
    ) -> dict[str, Tensor]:
        matched = self._matched(cells, ground_truth)
        is_positive = matched >= 0
        objects = matched.clamp_min(0)
        goal = ground_truth.boxes.gather(1, objects.unsqueeze(-1).expand(-1, -1, 4))
        labels = ground_truth.labels.gather(1, objects)
        target = F.one_hot(labels, self.num_classes) * 0.9 * is_positive.unsqueeze(-1)
        classification = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
        box = torch.where(is_positive, (boxes - goal).abs().sum(-1) / self.size, 0)
        divisor = is_positive.sum().clamp_min(1)
        head: Any = self.heads[name]
        if head.is_untouched:
            return {"class_loss": classification.sum() / divisor, "box_loss": box.sum() / divisor}
        places = cells.expand(len(logits), -1, -1)
        output = FrameworkOutput(matched, logits, boxes.detach(), places, classification, box.detach(), divisor)
        weights = head(output, ground_truth)
        return {"class_loss": weights.classification, "box_loss": (weights.regress * box).sum() / divisor}

    def _matched(self, cells: Tensor, ground_truth: GroundTruth) -> Tensor:
        """Of a dense detector the cells whose middle is in an object; of sets the one next to its middle."""
        middles = (cells[:, :2] + cells[:, 2:]) / 2
        inside = (middles > ground_truth.boxes[..., None, :2]) & (middles < ground_truth.boxes[..., None, 2:])
        is_candidate = inside.all(-1) & ground_truth.is_object.unsqueeze(-1)  # (B, G, N)
        if self.matches_sets:
            centre = (ground_truth.boxes[..., :2] + ground_truth.boxes[..., 2:]) / 2
            nearest = (centre.unsqueeze(2) - middles).square().sum(-1).argmin(-1, keepdim=True)
            is_candidate = torch.zeros_like(is_candidate).scatter(2, nearest, ground_truth.is_object.unsqueeze(-1))
        return torch.where(is_candidate.any(1), is_candidate.int().argmax(1), BACKGROUND)

    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        batch, _ = self.resized(images, [{"boxes": image.new_zeros(0, 4)} for image in images])
        logits, boxes = self.model(batch)["last"]
        score, place = logits.sigmoid().flatten(1).topk(20)
        return [
            {
                "boxes": of[index // self.num_classes] / self._scale(image),
                "labels": index % self.num_classes,
                "scores": s,
            }
            for image, of, s, index in zip(images, boxes, score, place, strict=True)
        ]


StandInModel.__module__ = "standin.models"


def cells_of(images: Tensor) -> Tensor:
    """(N, 4), row by row."""
    height, width = (side // STRIDE for side in images.shape[-2:])
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    corner = torch.stack([x, y], -1).view(-1, 2) * float(STRIDE)
    return torch.cat([corner, corner + STRIDE], 1).to(images.device)


@dataclass(frozen=True, slots=True)
class StandIn(Framework):
    def adapters(self) -> Any:
        def build(name: str, num_classes: int, *, weights: str, image_size: int | None, load: bool) -> nn.Module:
            check_name(f"model of {self.package}", name, [NAMES[self.package]])
            model = StandInModel(num_classes)
            model.package = self.package
            return model

        def adapt(model: Any, recipe: Recipe, *, image_size: int | None) -> Detector:
            return StandInDetector(model, recipe, image_size, matches_sets=FRAMEWORKS[model.package].matches_sets)

        return SimpleNamespace(build=build, adapt=adapt)


@contextmanager
def with_stand_in() -> Iterator[None]:
    """`standin:dense` and `standinsets:set` are detectors as others are."""
    with pytest.MonkeyPatch.context() as patch:
        for package in NAMES:
            framework = StandIn(package, SpecifierSet(), matches_sets=package == "standinsets")
            patch.setitem(FRAMEWORKS, package, framework)
        yield
