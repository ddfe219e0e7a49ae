"""Looks at samples made up at random, and the same numbers summed up by a loop over them."""

from dataclasses import replace
from typing import Any

import torch

from hardmine.core.samples import IGNORE, Assignment, GroundTruth
from hardmine.diagnosis.bins import CONTOUR_BINS, SCORE_BINS, contour_bin
from hardmine.diagnosis.look import (
    IGNORED,
    NEGATIVE,
    PADDING,
    POSITIVE,
    Look,
    PixelLook,
    kinds_of,
    look_at,
    look_at_pixels,
)

NUM_CLASSES = 3
BIN_EDGES = {
    "iou": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "score": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
KINDS = {"positive": POSITIVE, "negative": NEGATIVE, "ignored": IGNORED, "padding": PADDING}


def random_look(num_images: int = 4, num_samples: int = 50, seed: int = 0, *, with_levels: bool = True) -> Look:
    """Samples of every kind, objects of every size, of which some have no positive."""
    torch.manual_seed(seed)
    corner = torch.rand(num_images, 5, 2) * 50
    boxes = torch.cat([corner, corner + torch.tensor([20.0, 60, 150, 10, 90])[:, None]], -1)
    is_object = torch.rand(num_images, 5) < 0.8
    labels = torch.randint(NUM_CLASSES, (num_images, 5))
    objects = GroundTruth(boxes, labels, is_object, boxes.new_zeros(num_images, 0, 4))
    own = torch.randint(4, (num_images, num_samples))
    own = torch.where(is_object.gather(1, own), own, -1)
    matched = torch.where(torch.rand(own.shape) < 0.4, own, torch.where(torch.rand(own.shape) < 0.9, -1, -2))
    assignment = Assignment(matched, torch.rand(own.shape))
    weight = torch.rand(own.shape) * (torch.rand(own.shape) < 0.7) * (matched != -2)
    return look_at(
        torch.randn(num_images, num_samples, NUM_CLASSES) * 2 - 2,
        "sigmoid",
        assignment,
        objects,
        kind=kinds_of(assignment, torch.rand(own.shape) < 0.3),
        box_iou=torch.rand(own.shape),
        weight=weight,
        loss=weight * torch.rand(own.shape),
        level=torch.randint(3, 6, own.shape) if with_levels else None,
    )


def random_gradients(look: Look, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.rand(look.kind.shape).square() * (look.kind < IGNORED), torch.rand(look.kind.shape)


def some_images(look: Any, images: slice) -> Any:
    parts = {name: getattr(look, name) for name in look.__slots__}
    return replace(look, **{name: None if of is None else of[images] for name, of in parts.items()})


def bin_by_loop(name: str, look: Look, b: int, n: int) -> str:
    """The bin of one sample, in the words of the tables."""
    is_positive = look.kind[b, n] == POSITIVE
    if name in BIN_EDGES:
        edges = (0, *BIN_EDGES[name], 1)
        value = float(getattr(look, name)[b, n])
        place = max(k for k, edge in enumerate(edges[:-1]) if value >= torch.tensor(edge).item())
        low, high = (f"{edge:g}".replace("0.", ".") for edge in edges[place : place + 2])
        return f"{low}-{high}"
    if name == "level":
        return f"stride {2 ** int(look.level[b, n])}"
    if not is_positive:
        return "background"
    if name == "class":
        return str(int(look.label[b, n]))
    area = float(look.areas[b, look.matched[b, n]])
    return "small" if area < 32**2 else "medium" if area <= 96**2 else "large"


def sums_by_loop(name: str, look: Look, gradient: torch.Tensor) -> dict[str, dict[str, float]]:
    """Of each bin of a table: count, positives, loss, weight, gradient of its samples."""
    found: dict[str, dict[str, float]] = {}
    for b in range(look.kind.shape[0]):
        for n in range(look.kind.shape[1]):
            if look.kind[b, n] not in (POSITIVE, NEGATIVE):
                continue
            sums = found.setdefault(
                bin_by_loop(name, look, b, n), dict.fromkeys(("count", "positives", "loss", "weight", "gradient"), 0.0)
            )
            sums["count"] += 1
            sums["positives"] += int(look.kind[b, n] == POSITIVE)
            sums["loss"] += float(look.loss[b, n])
            sums["weight"] += float(look.weight[b, n])
            sums["gradient"] += float(gradient[b, n])
    return found


def random_pixels(num_images: int = 4, seed: int = 0) -> PixelLook:
    """Patches of every class, of which some are ignored, with weights of 0 and above."""
    torch.manual_seed(seed)
    labels = torch.randint(-1, NUM_CLASSES, (num_images, 3, 4))
    labels = labels.masked_fill(labels < 0, IGNORE).repeat_interleave(6, 1).repeat_interleave(6, 2)
    logits = 3 * torch.randn(num_images, NUM_CLASSES, 18, 24)
    weight = (torch.rand(num_images, 18 * 24) < 0.6) * (labels.flatten(1) != IGNORE).float()
    loss = weight * torch.rand(weight.shape)
    return look_at_pixels(logits, labels, contour=contour_bin(labels), weight=weight, loss=loss)


def sums_of_pixels(name: str, look: PixelLook, gradient: torch.Tensor) -> dict[str, dict[str, float]]:
    """Of each bin of a table of pixels: count, loss, weight, gradient of those that are labelled."""
    words = {
        "class": lambda b, n: str(int(look.label[b, n])),
        "contour_distance": lambda b, n: CONTOUR_BINS[int(look.contour[b, n])],
        "score": lambda b, n: SCORE_BINS[min(9, int(float(look.score[b, n] * 10)))],
    }
    found: dict[str, dict[str, float]] = {}
    for b, n in torch.nonzero(look.kind == POSITIVE).tolist():
        sums = found.setdefault(words[name](b, n), dict.fromkeys(("count", "loss", "weight", "gradient"), 0.0))
        sums["count"] += 1
        for of, value in (("loss", look.loss), ("weight", look.weight), ("gradient", gradient)):
            sums[of] += float(value[b, n])
    return found
