"""OHEM cross entropy of pixels, forward + backward: the whole head, against what one would write with torch.

mmsegmentation's sampler is written anew from its definition: the probabilities of the true classes of all valid pixels
are sorted, the one at place k, or the threshold, is the line, and the loss of the pixels below it is averaged.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

import hardmine as hm
from benchmarks.case import Case, with_gradient
from hardmine.core.samples import IGNORE
from hardmine.detectors.traits import pixel_traits
from hardmine.equation.pixel_head import PixelHead

__all__ = ["cases"]

IMAGES, CLASSES, THRESHOLD, SHARE = 8, 19, 0.7, 0.1
OfPixels = Callable[[Tensor, Tensor], Tensor]
RIGHT = {"early": 5.0, "late": 12.0}
"""What is added to the logit of the true class: how far the training is."""


def cases(quick: bool) -> Iterator[Case]:
    images, height = (2, 64) if quick else (IMAGES, 512)
    for when in RIGHT:
        yield from _of_batch(images, height, when)


def _of_batch(images: int, height: int, when: str) -> Iterator[Case]:
    logits, labels = _batch(images, height, RIGHT[when])
    valid = int((labels != IGNORE).sum())
    size, least = f"{images} x {CLASSES} x {height} x {2 * height}", valid // 16
    hard = float((F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none") > -math.log(THRESHOLD)).sum())
    note = f"{when} in a training: {hard / valid:.0%} of the pixels are below the threshold"
    top = int(SHARE * valid)

    def case(name: str, recipe: hm.Recipe, peers: dict[str, OfPixels]) -> Case:
        head = PixelHead(pixel_traits("segmenter", CLASSES), recipe)
        return Case(
            group="pixels", operation=name, size=size, ours=with_gradient(head, logits, labels), unit=logits, note=note,
            peers={peer: with_gradient(call, logits, labels) for peer, call in peers.items()}, tolerance=1e-2,
        )  # fmt: skip

    yield case(
        "OHEM-CE, probability rule", hm.recipes.pixel_ohem(THRESHOLD, min_fraction=1 / 16),
        {
            "CE and topk": lambda x, y: of_hard(x, y, least),
            "as mmsegmentation": lambda x, y: as_mmsegmentation(x, y, least),
        },
    )  # fmt: skip
    yield case(
        "OHEM-CE, top 10 %", hm.recipes.pixel_ohem(None, min_fraction=SHARE),
        {"CE and topk": lambda x, y: of_top(x, y, top), "as mmsegmentation": lambda x, y: of_sorted(x, y, top)},
    )  # fmt: skip


def _batch(images: int, height: int, right: float) -> tuple[Tensor, Tensor]:
    """Labels in patches, as objects are; a patch in sixteen is ignored, and the scores of a tenth are no better than
    chance."""
    torch.manual_seed(0)
    cells = torch.randint(0, CLASSES, (images, height // 16, height // 8))
    cells = cells.masked_fill(torch.rand(cells.shape) < 1 / 16, IGNORE)
    labels = cells.repeat_interleave(16, 1).repeat_interleave(16, 2)
    known = (torch.rand(cells.shape) < 0.9).repeat_interleave(16, 1).repeat_interleave(16, 2)
    logits = torch.randn(images, CLASSES, height, 2 * height) * 2
    return logits.scatter_add_(1, labels.clamp_min(0).unsqueeze(1), (known * right).unsqueeze(1)), labels


def of_top(logits: Tensor, labels: Tensor, num: int) -> Tensor:
    return _losses(logits, labels).flatten().topk(num).values.mean()


def of_hard(logits: Tensor, labels: Tensor, least: int) -> Tensor:
    loss = _losses(logits, labels).flatten()
    line = loss.detach().topk(least).values[-1].clamp_max(-math.log(THRESHOLD))
    return loss[loss >= line].mean()


def as_mmsegmentation(logits: Tensor, labels: Tensor, least: int) -> Tensor:
    valid = labels != IGNORE
    with torch.no_grad():
        probability = logits.softmax(1).gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)
        of_valid = probability[valid].sort().values
        line = of_valid[min(least, len(of_valid) - 1)].clamp_min(THRESHOLD)
        weights = (valid & (probability < line)).float()
    return (_losses(logits, labels) * weights).sum() / weights.sum()


def of_sorted(logits: Tensor, labels: Tensor, num: int) -> Tensor:
    valid, loss = labels != IGNORE, _losses(logits, labels)
    with torch.no_grad():
        weights, order = torch.zeros_like(loss[valid]), loss[valid].sort(descending=True).indices
        weights[order[:num]] = 1
        of_pixels = torch.zeros_like(loss).masked_scatter_(valid, weights)
    return (loss * of_pixels).sum() / of_pixels.sum()


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
