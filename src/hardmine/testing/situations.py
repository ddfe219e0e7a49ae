"""The batches that methods have broken on, with random evidence of every kind."""

from collections.abc import Callable, Iterator, Set as AbstractSet
from dataclasses import replace
from itertools import product
from typing import get_args

import torch
from torch import Tensor

from hardmine.core.samples import (
    BACKGROUND,
    IGNORE,
    Activation,
    Assignment,
    Evidence,
    GroundTruth,
    Levels,
    Predictions,
    Samples,
)

__all__ = [
    "DTYPES",
    "LABELS",
    "LEVELS",
    "LOW_DTYPES",
    "MATCHED",
    "NUM_CLASSES",
    "OBJECTS",
    "ORDINARY",
    "change",
    "ground_truth_of",
    "image_of",
    "make_anchors",
    "make_boxes",
    "make_logits",
    "make_predictions",
    "make_samples",
    "poisoned",
    "sampled",
    "without",
]

NUM_CLASSES = 3
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LOW_DTYPES = DTYPES[1:]
ORDINARY = torch.randint(IGNORE, 3, (2, 14), generator=torch.Generator().manual_seed(5))
CELLS = ((8, 8), (16, 4), (32, 2))  # stride, cells a side: a 64-pixel image
LEVELS = Levels(tuple(cells**2 for _, cells in CELLS), tuple(float(stride) for stride, _ in CELLS), (1,) * len(CELLS))


def _matched_cases() -> dict[str, Tensor]:
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


def _label_cases() -> dict[str, Tensor]:
    ordinary = torch.randint(IGNORE, NUM_CLASSES, (2, 9), generator=torch.Generator().manual_seed(3))
    return {
        "ordinary": ordinary,
        "no positives": ordinary.clamp_max(BACKGROUND),
        "no negatives": torch.where(ordinary == BACKGROUND, 1, ordinary),
        "all ignored": torch.full_like(ordinary, IGNORE),
        "one sample": ordinary[:, :1],
        "no samples": ordinary[:, :0],
    }


def _object_cases() -> dict[str, tuple[list[Tensor], list[Tensor] | None]]:
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


MATCHED = _matched_cases()
"""matched_gt (B, N) by situation."""
LABELS = _label_cases()
"""Labels (B, N) by situation."""
OBJECTS = _object_cases()
"""Boxes of the objects of two images, and ignore regions, by situation."""


def ground_truth_of(case: str) -> GroundTruth:
    """The objects of one of `OBJECTS`, every other of them missed."""
    boxes, regions = OBJECTS[case]
    numbers = [torch.arange(len(box)) for box in boxes]
    labels, missed = ([number % divisor for number in numbers] for divisor in (NUM_CLASSES, 2))
    return GroundTruth.from_lists(boxes, labels, regions, missed=[odd == 0 for odd in missed])


def sampled() -> Iterator[tuple[str, Samples]]:
    """Samples of all of `MATCHED`, with losses that differ and with losses that tie."""
    for (name, matched_gt), ties in product(MATCHED.items(), (False, True)):
        yield f"{name}, ties" if ties else name, make_samples(matched_gt, ties=ties)


def make_samples(matched_gt: Tensor, dtype: torch.dtype = torch.float32, *, ties: bool = False) -> Samples:
    """Random evidence of every kind for matched_gt (B, N); overlapping boxes, and on demand equal keys."""
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
        progress=torch.full((B, N), 0.25, dtype=dtype),
    )


def make_logits(activation: Activation, labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits (B, N, C), one column more for softmax scores, for labels (B, N)."""
    return (torch.randn(*labels.shape, NUM_CLASSES + (activation == "softmax")) * 3).to(dtype)


def make_boxes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(*shape, 4): valid as boxes, as codes, and as distances in bins."""
    corner = torch.rand(*shape, 2) * 4
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2) * 4], dim=-1).to(dtype)


def make_anchors() -> Tensor:
    """(2, N, 4): two images' grids of squares, one of each of `LEVELS`, also as FCOS's points; no two boxes tie."""
    grid = torch.cat([_cells(stride, cells) for stride, cells in CELLS])
    return grid + torch.rand(2, len(grid), 4) - 0.5


def _cells(stride: int, cells: int) -> Tensor:
    first = torch.arange(cells) * float(stride)
    y, x = torch.meshgrid(first, first, indexing="ij")
    return torch.stack([x, y, x + stride, y + stride], dim=-1).reshape(-1, 4)


def make_predictions(anchors: Tensor) -> Predictions:
    """Boxes near the anchors (B, N, 4), and scores of every class."""
    boxes = anchors + torch.randn_like(anchors)
    return Predictions(boxes, torch.rand(*anchors.shape[:2], NUM_CLASSES))


def poisoned(values: Tensor, where: Tensor, poison: float) -> Tensor:
    """The values (B, N, ...) with NaN or the like where the mask (B, N) says."""
    return values.masked_fill(where.view(*where.shape, *[1] * (values.ndim - 2)), poison)


def change(samples: Samples, function: Callable[[Tensor], Tensor]) -> Samples:
    """The samples with a function applied to each of their tensors."""
    there = [name for name in get_args(Evidence) if name in samples.available]
    evidence = {name: function(samples[name]) for name in there}
    quality = evidence.pop("quality", None)
    assignment = Assignment(function(samples.assignment.matched_gt), function(samples.assignment.iou), quality)
    return replace(samples, assignment=assignment, **evidence)


def image_of(samples: Samples, b: int) -> Samples:
    """One image of a batch, as a batch of its own."""
    return change(samples, lambda tensor: tensor[b : b + 1])


def without(samples: Samples, names: AbstractSet[str]) -> Samples:
    """The samples without the named evidence."""
    quality = None if "quality" in names else samples.quality
    gone = dict.fromkeys(names - {"quality"})
    return replace(samples, assignment=replace(samples.assignment, quality=quality), **gone)
